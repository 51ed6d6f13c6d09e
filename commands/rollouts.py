"""`signalbox rollouts`: see what is being rolled out and how it went, and tell it what to do."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import (
    AsJson,
    By,
    InWorkspace,
    Why,
    app_services,
    pick,
    print_json,
    print_lines,
    print_table,
    when,
    who,
)

if TYPE_CHECKING:
    from commands.rollout_view import View
    from shared.rollouts.state.rollout import Rollout
    from shared.services import Services

app = typer.Typer(help="Rollouts: new deployments on their way.", no_args_is_help=True)

RolloutId = Annotated[str, typer.Argument(help="The rollout's id, or how it begins.")]


@app.command("list")
def list_rollouts(
    every: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    endpoint: Annotated[str, typer.Option(help="On this endpoint only.")] = "",
    workspace: InWorkspace = "",
    as_json: AsJson = False,
) -> None:
    """List the rollouts that have not ended, the oldest first."""
    with app_services() as services:
        found = sorted(_all(services).values(), key=lambda rollout: rollout.created_at)
        now = services.clock.now()
    shown = [
        rollout
        for rollout in found
        if (every or not rollout.phase.is_terminal)
        and endpoint.lower() in ("", rollout.endpoint.lower())
        and workspace.lower() in ("", rollout.workspace.name.lower())
    ]
    if as_json:
        print_json(shown)
    elif shown:
        from commands.rollout_view import split_of, step_of, waits_of

        columns = ("id", "workspace", "endpoint", "model", "phase", "step", "split", "since")
        rows = [
            (
                rollout.id[:8],
                rollout.workspace.name,
                rollout.endpoint,
                rollout.model.words,
                str(rollout.phase),
                step_of(rollout),
                split_of(rollout),
                when(rollout.since),
                waits_of(rollout, now),
            )
            for rollout in shown
        ]
        print_table((*columns, "waits for, or why"), rows)
    elif found and not every:
        typer.echo("no such rollout is under way; --all lists those that have ended")
    else:
        typer.echo("no rollouts")


@app.command()
def show(
    rollout_id: RolloutId,
    measurements: Annotated[
        bool, typer.Option("--measurements", help="Every look at the gates, with its queries.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw one rollout: where it stands, what was measured, what comes next and what happened."""
    with app_services() as services:
        view = _view(services, pick(_all(services), rollout_id, "rollout"))
    if as_json:
        print_json(_as_data(view))
        return
    from commands.rollout_view import draw

    print_lines(draw(view, measurements=measurements))


@app.command()
def pause(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Leave a rollout as it is until somebody says resume, promote, retry or abort."""
    _order("pause", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def resume(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Go on with the step at which a rollout was held, from its beginning."""
    _order("resume", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def promote(
    rollout_id: RolloutId,
    why: Why,
    to_end: Annotated[bool, typer.Option("--to-end", help="To the last split.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Go on to the next step, without what is left of this one."""
    _order("promote", rollout_id, why=why, by=by, as_json=as_json, to_end=to_end)


@app.command()
def approve(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Say yes where a rollout waits for that."""
    _order("approve", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def abort(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Roll back. Beats everything else."""
    _order("abort", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def retry(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Try again what failed, from the failed step if what it needs is still there."""
    _order("retry", rollout_id, why=why, by=by, as_json=as_json)


#: What comes of an order, in words.
_WILL = {
    "pause": "it stays as it is, once a split that is being set is there",
    "resume": "it begins the step that it is at anew",
    "promote": "it goes on to its next step",
    "promote to the end": "it goes on to its last split",
    "approve": "it goes on to its next step",
    "abort": "it rolls back",
    "retry": "it tries again, from the step that failed if its deployment is still there",
}


def _order(
    name: str, rollout_id: str, *, why: str, by: str, as_json: bool, to_end: bool = False
) -> None:
    from shared.rollouts.engine.give_order import give_order
    from shared.rollouts.state.orders import OrderKind

    with app_services() as services:
        whole = pick(_all(services), rollout_id, "rollout").id
        given = give_order(
            services.rollouts, whole, OrderKind(name), by=who(by), why=why, to_end=to_end
        )
    if as_json:
        print_json(given)
        return
    said = f"{name} to the end" if to_end else name
    typer.echo(f"{said} is given: at its next tick, within seconds, {_WILL[said]}")


def _all(services: "Services") -> "dict[str, Rollout]":
    return {kept.value.id: kept.value for kept in services.rollouts.store.all()}


def _view(services: "Services", rollout: "Rollout") -> "View":
    from commands.rollout_view import View
    from shared.rollouts.people.forecast import forecast

    now = services.clock.now()
    return View(
        rollout=rollout,
        measurements=services.rollouts.store.measurements(rollout.id),
        coming=forecast(rollout, now, grain=services.settings.metrics_grain),
        now=now,
    )


def _as_data(view: "View") -> dict[str, Any]:
    """Return the rollout with all that was measured and what comes next, for programs."""
    from dataclasses import asdict

    return {**asdict(view.rollout), "measurements": view.measurements, "next": view.coming}
