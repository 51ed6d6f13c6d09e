"""`manage.py rollouts`: see what is being rolled out, and how it went."""

from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import AsJson, app_services, pick, print_json, print_table, visible, when

if TYPE_CHECKING:
    from shared.rollouts.model import Rollout

app = typer.Typer(help="Rollouts: new deployments on their way.", no_args_is_help=True)


@app.command("list")
def list_rollouts(
    every: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rollouts that have not ended, the oldest first."""
    found = sorted(_all().values(), key=lambda rollout: rollout.created_at)
    shown = [rollout for rollout in found if every or not rollout.phase.is_terminal]
    if as_json:
        print_json(shown)
    elif shown:
        _print_table(shown)
    else:
        typer.echo("no rollouts")


@app.command()
def show(
    rollout_id: Annotated[str, typer.Argument(help="The rollout's id, or how it begins.")],
    as_json: AsJson = False,
) -> None:
    """Show one rollout: what it is, where it stands, and what happened when."""
    rollout = pick(_all(), rollout_id, "rollout")
    if as_json:
        print_json(rollout)
        return
    facts = {
        "rollout": rollout.id,
        "model": f"{rollout.model.name} {rollout.model.version}",
        "workspace": rollout.workspace.name,
        "endpoint": rollout.endpoint,
        "deployment": rollout.deployment,
        "old": rollout.stable or "(nothing served before)",
        "phase": str(rollout.phase),
        "reason": rollout.reason,
        "trouble": rollout.trouble,
        "untold": rollout.untold,
        "next tick": "" if rollout.phase.is_terminal else when(rollout.due_at),
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name + ':':12} {visible(value)}")
    for moment in rollout.history:
        typer.echo(f"  {when(moment.at)}  {moment.phase:13} {visible(moment.text)}".rstrip())
    if rollout.logs:
        typer.echo("last lines of the container's log:")
        for line in rollout.logs.splitlines():
            typer.echo(f"  {visible(line)}")


def _all() -> "dict[str, Rollout]":
    with app_services() as services:
        return {kept.rollout.id: kept.rollout for kept in services.rollouts.store.all()}


def _print_table(rollouts: "list[Rollout]") -> None:
    columns = ("id", "endpoint", "model", "phase", "since", "next tick", "trouble")
    rows = (
        (
            rollout.id[:8],
            rollout.endpoint,
            f"{rollout.model.name} {rollout.model.version}",
            str(rollout.phase),
            when(rollout.since),
            "" if rollout.phase.is_terminal else when(rollout.due_at),
            rollout.trouble or rollout.reason,
        )
        for rollout in rollouts
    )
    print_table(columns, rows)
