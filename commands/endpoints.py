"""`signalbox endpoints`: the deployments that serve nobody."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer

from commands.common import AsJson, app_services, fail, print_json, print_table, visible, when

if TYPE_CHECKING:
    from shared.orphans.model import Orphan

app = typer.Typer(help="Find deployments without traffic.", no_args_is_help=True)


@app.callback()
def endpoints() -> None:
    """Keep `orphans` a command of its own while it is the only one."""


@app.command()
def orphans(as_json: AsJson = False) -> None:
    """List the deployments without traffic.

    It reads every workspace of the rules file now. A note marks those that are not orphans yet. The
    exit status is 1 if a workspace could not be read; the others are listed all the same.
    """
    from shared.base.errors import SignalboxError

    found: list[Orphan] = []
    faults: list[str] = []
    hints: dict[str, None] = {}  # each once, for workspaces mostly fail for one reason
    with app_services() as services:
        after = services.orphans.rules.after
        for workspace in services.reactions.workspaces:
            try:
                found += services.orphans.find(workspace)
            except SignalboxError as error:
                faults.append(f"{workspace.name}: {error.code}: {error.message}")
                hints[error.hint] = None
    if as_json:
        print_json([_as_data(orphan) for orphan in found])
    elif found:
        _print_table(found, after)
    elif not faults:
        typer.echo("no orphans")
    if faults:
        raise fail("\n".join(visible(line) for line in (*faults, *filter(None, hints))))


def _as_data(orphan: "Orphan") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(orphan), "workspace": orphan.workspace.id}


def _print_table(found: "list[Orphan]", after: timedelta) -> None:
    from shared.orphans.notices import cost_words, instance_words

    columns = ("workspace", "endpoint", "deployment", "model", "instances", "state", "since")
    rows = [
        (
            orphan.workspace.name,
            orphan.endpoint,
            orphan.deployment,
            orphan.model,
            instance_words(orphan),
            str(orphan.state),
            when(orphan.since) if orphan.since else "",
            cost_words(orphan),
            _note(orphan, after),
        )
        for orphan in found
    ]
    print_table((*columns, "cost", "note"), rows)


def _note(orphan: "Orphan", after: timedelta) -> str:
    """Say what the columns don't: that it is no orphan yet, or why it is still there."""
    from shared.base.durations import format_duration

    if orphan.since is None:
        return "not seen before"
    if not orphan.is_due:
        return f"for less than {format_duration(after)}"
    return f"not deleted: {orphan.trouble}" if orphan.trouble else ""
