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
    print_facts,
    print_json,
    print_table,
    visible,
    when,
    who,
)

if TYPE_CHECKING:
    from shared.journal.dead_letters import DeadLetters
    from shared.journal.letters import Letter

app = typer.Typer(help="See, replay and close dead letters.", no_args_is_help=True)

_FACTS = (
    *("id", "status", "workspace", "reaction", "about"),
    *("code", "reason", "hint", "attempt", "order"),
)
_CHANGED = "not done, because the letter changed meanwhile; look at it again"

LetterId = Annotated[str, typer.Argument(metavar="ID", help="The letter's id, or its beginning.")]


@app.command("list")
def list_letters(
    every: Annotated[bool, typer.Option("--all", help="Closed letters, too.")] = False,
    reaction: Annotated[
        str, typer.Option(metavar="NAME", help="Only those of this reaction.")
    ] = "",
    workspace: InWorkspace = "",
    as_json: AsJson = False,
) -> None:
    """List the letters that are not closed.

    The oldest come first. Some wait for their next try, others are parked for a person.
    """
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
    """Show one letter, with its event."""
    with app_services() as services:
        listed = _pick(services.dead_letters, letter_id)
        letter = services.dead_letters.get(listed.id) or listed
    if as_json:
        print_json(letter)
        return
    facts = {name: str(getattr(letter, name)) for name in _FACTS}
    facts["created"] = when(letter.created_at)
    if letter.status != "parked":
        facts["closed" if letter.status == "closed" else "due"] = when(letter.due_at)
    print_facts(facts)
    typer.echo(_body(letter))


@app.command()
def replay(
    letter_ids: Annotated[
        list[str], typer.Argument(metavar="ID", help="Ids, or their beginnings.")
    ],
    why: Why,
    by: By = "",
) -> None:
    """Have letters replayed now.

    The app replays them within seconds. Their attempts are counted from 0 again.
    """
    order = f"replayed by {who(by)}: {why}"
    with app_services() as services:
        for letter_id in letter_ids:
            letter = _pick(services.dead_letters, letter_id)
            done = services.dead_letters.reopen(letter, order)
            typer.echo(f"{letter.id}: {'due now' if done else _CHANGED}")


@app.command()
def close(letter_id: LetterId, why: Why, by: By = "") -> None:
    """Close a letter without a replay."""
    from shared.flow.letter_events import give_up

    order = f"closed by {who(by)}: {why}"
    with app_services() as services:
        listed = _pick(services.dead_letters, letter_id)
        letter = services.dead_letters.get(listed.id) or listed
        give_up(services.records, replace(letter, reason=order))
        done = services.dead_letters.close(letter, order)
        typer.echo(f"{letter.id}: {'closed' if done else _CHANGED}")


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
