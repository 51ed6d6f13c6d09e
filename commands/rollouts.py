"""`signalbox rollouts`: see rollouts, and give them orders."""

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

app = typer.Typer(help="See rollouts, and give them orders.", no_args_is_help=True)

RolloutId = Annotated[str, typer.Argument(metavar="ID", help="The rollout's id, or its beginning.")]


@app.command("list")
def list_rollouts(
    every: Annotated[bool, typer.Option("--all", help="Ended rollouts, too.")] = False,
    endpoint: Annotated[
        str, typer.Option(metavar="NAME", help="Only those of this endpoint.")
    ] = "",
    workspace: InWorkspace = "",
    as_json: AsJson = False,
) -> None:
    """List the rollouts that have not ended."""
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
        typer.echo("no rollout is under way; --all lists those that have ended")
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
    """Draw one rollout.

    Its steps with the measurements of the gates, the traffic over time, what comes next, and what
    happened so far.
    """
    with app_services() as services:
        view = _view(services, pick(_all(services), rollout_id, "rollout"))
    if as_json:
        print_json(_as_data(view))
        return
    from commands.rollout_view import draw

    print_lines(draw(view, measurements=measurements))


@app.command()
def pause(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Hold the rollout where it is.

    It stays there until somebody orders resume, promote, retry or abort.
    """
    _order("pause", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def resume(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Go on after a hold.

    The step at which the rollout was held begins again.
    """
    _order("resume", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def promote(
    rollout_id: RolloutId,
    why: Why,
    to_end: Annotated[
        bool, typer.Option("--to-end", help="Skip all steps up to the last split.")
    ] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Skip the rest of this step."""
    _order("promote", rollout_id, why=why, by=by, as_json=as_json, to_end=to_end)


@app.command()
def approve(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Say yes to a rollout that asks."""
    _order("approve", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def abort(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Roll back now.

    It beats every other order.
    """
    _order("abort", rollout_id, why=why, by=by, as_json=as_json)


@app.command()
def retry(rollout_id: RolloutId, why: Why, by: By = "", as_json: AsJson = False) -> None:
    """Try again after a failure.

    From the failed step if the deployment is still there, else from the beginning.
    """
    _order("retry", rollout_id, why=why, by=by, as_json=as_json)


#: The effect of each order at the rollout's next tick.
_WILL = {
    "pause": "stops where it is, after a split that is already being set",
    "resume": "begins its current step again",
    "promote": "goes on to its next step",
    "promote to the end": "goes on to its last split",
    "approve": "goes on to its next step",
    "abort": "rolls back",
    "retry": "tries again, from the failed step if its deployment is still there",
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
    typer.echo(f"Ordered: {said}. Within seconds the rollout {_WILL[said]}.")


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
