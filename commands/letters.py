"""`signalbox letters`: see the dead letters, replay them, close them."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import (
    AsJson,
    By,
    InWorkspace,
    Why,
    app_services,
    pick,
    print_json,
    print_table,
    visible,
    when,
    who,
)

if TYPE_CHECKING:
    from shared.journal.letters import DeadLetters, Letter

app = typer.Typer(help="Dead letters: what could not be finished.", no_args_is_help=True)

LetterId = Annotated[str, typer.Argument(help="The letter's id, or how it begins.")]


@app.command("list")
def list_letters(
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    reaction: Annotated[str, typer.Option(help="Of this reaction only.")] = "",
    workspace: InWorkspace = "",
    as_json: AsJson = False,
) -> None:
    """List the letters that wait or are parked, the oldest first."""
    from shared.journal.letters import LetterStatus

    with app_services() as services:
        letters = sorted(services.dead_letters.all(), key=lambda letter: letter.created_at)
    shown = [
        letter
        for letter in letters
        if (every or letter.status is not LetterStatus.CLOSED)
        and reaction.lower() in ("", letter.reaction.lower())
        and workspace.lower() in ("", letter.workspace.lower())
    ]
    if as_json:
        print_json(shown)
    elif shown:
        _print_table(shown)
    else:
        typer.echo("no letters")


@app.command()
def show(letter_id: LetterId, as_json: AsJson = False) -> None:
    """Show one letter, with the event as it arrived."""
    with app_services() as services:
        listed = _pick(services.dead_letters, letter_id)
        letter = services.dead_letters.get(listed.id) or listed
    if as_json:
        print_json(letter)
        return
    for name in (
        "id",
        "status",
        "workspace",
        "reaction",
        "about",
        "code",
        "reason",
        "hint",
        "attempt",
        "order",
    ):
        typer.echo(f"{name + ':':10} {visible(str(getattr(letter, name)))}".rstrip())
    typer.echo(f"{'created:':10} {when(letter.created_at)}")
    if letter.status != "parked":
        name = "closed:" if letter.status == "closed" else "due:"
        typer.echo(f"{name:10} {when(letter.due_at)}")
    typer.echo(_body(letter))


@app.command()
def replay(
    letter_ids: Annotated[list[str], typer.Argument(help="Ids, or how they begin.")],
    why: Why,
    by: By = "",
) -> None:
    """Make letters due now, their attempts counted anew; the app replays them."""
    order = f"replayed by {who(by)}: {why}"
    with app_services() as services:
        for letter_id in letter_ids:
            letter = _pick(services.dead_letters, letter_id)
            done = services.dead_letters.reopen(letter, order)
            typer.echo(f"{letter.id}: {'due now' if done else 'changed meanwhile; look again'}")


@app.command()
def close(letter_id: LetterId, why: Why, by: By = "") -> None:
    """Close a letter: nothing more is done about it."""
    from shared.flow.react import give_up

    order = f"closed by {who(by)}: {why}"
    with app_services() as services:
        listed = _pick(services.dead_letters, letter_id)
        letter = services.dead_letters.get(listed.id) or listed
        give_up(services.records, replace(letter, reason=order))
        done = services.dead_letters.close(letter, order)
        typer.echo(f"{letter.id}: {'closed' if done else 'changed meanwhile; look again'}")


def _pick(dead_letters: "DeadLetters", prefix: str) -> "Letter":
    return pick({letter.id: letter for letter in dead_letters.find(prefix)}, prefix, "letter")


def _body(letter: "Letter") -> str:
    try:
        return json.dumps(json.loads(letter.body), ensure_ascii=True, indent=2)
    except ValueError:
        return visible(letter.body)


def _print_table(letters: "list[Letter]") -> None:
    columns = ("id", "status", "due", "tries", "workspace", "reaction", "about", "why")
    rows = [
        (
            letter.id[:8],
            str(letter.status),
            when(letter.due_at) if letter.status == "waiting" else "",
            str(letter.attempt),
            letter.workspace,
            letter.reaction or "(whole event)",
            letter.about,
            f"{letter.code}: {letter.reason}",
        )
        for letter in letters
    ]
    print_table(columns, rows)
