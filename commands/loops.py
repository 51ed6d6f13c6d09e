"""`signalbox loops`: see the loops, and answer them."""

from collections.abc import Iterable, Iterator
from datetime import datetime
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
    print_lines,
    print_table,
    visible,
    when,
    who,
)

if TYPE_CHECKING:
    from shared.retraining.model import Loop, Retraining, Window

app = typer.Typer(help="See loops of retraining, and answer them.", no_args_is_help=True)

#: Loops of one reaction share the first half of their ids; the second is the monitor's.
_HALF = 16

LoopId = Annotated[
    str, typer.Argument(metavar="ID", help="The loop's id, or the beginning of either half.")
]


@app.command("list")
def list_loops(workspace: InWorkspace = "", as_json: AsJson = False) -> None:
    """List the loops.

    Each with the decision on its newest window, and its newest retraining.
    """
    found = [
        loop
        for loop in sorted(_all().values(), key=lambda loop: (loop.reaction, loop.monitor))
        if workspace.lower() in ("", loop.workspace.name.lower())
    ]
    if as_json:
        print_json([_as_data(loop) for loop in found])
    elif found:
        _print_table(found)
    else:
        typer.echo("no loops")


@app.command()
def show(loop_id: LoopId, as_json: AsJson = False) -> None:
    """Show the whole story of one loop.

    In order: each window, the decision and its reason, and each retraining.
    """
    loop = _pick(loop_id)
    if as_json:
        print_json(_as_data(loop))
        return
    facts = {
        "loop": loop.id,
        "reaction": loop.reaction,
        "monitor": loop.monitor,
        "model": loop.model,
        "workspace": loop.workspace.name,
        "status": str(loop.status),
        "gave up": when(loop.gave_up_at) if loop.gave_up_at else "",
        "resumed": f"{when(loop.resumed_at)} {loop.resumed_by}" if loop.resumed_at else "",
        "given_up": loop.given_up,
    }
    print_facts(facts)
    moments = sorted(_timeline(loop), key=lambda moment: moment[0])
    print_lines(f"  {when(at)}  {visible(line)}" for at, line in moments)


@app.command()
def approve(loop_id: LoopId, why: Why, by: By = "") -> None:
    """Approve the retraining that waits."""
    with app_services() as services:
        loop = services.approvals.approve(_pick(loop_id), by=who(by), why=why)
    typer.echo(f"{loop.id}: approved; the app starts it")


@app.command()
def reject(loop_id: LoopId, why: Why, by: By = "") -> None:
    """Reject the retraining that waits."""
    with app_services() as services:
        loop = services.approvals.reject(_pick(loop_id), by=who(by), why=why)
    typer.echo(f"{loop.id}: rejected")


@app.command()
def resume(loop_id: LoopId, why: Why, by: By = "") -> None:
    """Go on with a loop that gave up.

    Its failures until now no longer count.
    """
    with app_services() as services:
        loop = services.approvals.resume(_pick(loop_id), by=who(by), why=why)
    typer.echo(f"{loop.id}: goes on with the next window")


def _all() -> "dict[str, Loop]":
    with app_services() as services:
        return {kept.value.id: kept.value for kept in services.loops.store.all()}


def _pick(prefix: str) -> "Loop":
    found = _all()
    halves = {loop_id[_HALF:] + loop_id: loop for loop_id, loop in found.items()}
    is_whole = any(loop_id.startswith(prefix) for loop_id in found)
    return pick(found if is_whole else halves, prefix, "loop")


def _as_data(loop: "Loop") -> dict[str, object]:
    """Return the loop with what is derived of it, for programs."""
    from dataclasses import asdict

    return {"id": loop.id, "status": str(loop.status), **asdict(loop)}


def _print_table(loops: "Iterable[Loop]") -> None:
    columns = ("id", "workspace", "reaction", "monitor", "status", "decided", "why")
    rows = []
    for loop in loops:
        last = loop.decisions[-1] if loop.decisions else None
        rows.append(
            (
                loop.id[_HALF : _HALF + 8],
                loop.workspace.name,
                loop.reaction,
                loop.monitor,
                str(loop.status),
                f"{when(last.at)} {last.answer}" if last else "",
                last.reason if last else "",
                _told(loop.last) if loop.last else "",
            )
        )
    print_table((*columns, "newest retraining"), rows)


def _told(retraining: "Retraining") -> str:
    """Tell a retraining in a few words: how far it came, its model, and whether it helped."""
    helped = {True: ", helped", False: ", did not help", None: ""}[retraining.helped]
    made = f", made {retraining.model}" if retraining.model else ""
    return f"{retraining.stage}{made}{helped}"


def _timeline(loop: "Loop") -> Iterator[tuple[datetime, str]]:
    decided = {decision.window: decision for decision in loop.decisions}
    for window in loop.windows:
        decision = decided.get(window.id)
        answer = f" -> {decision.answer}: {decision.reason}" if decision else ""
        # When it was told of goes by the workspace's clock, all the rest by ours.
        at = decision.at if decision else window.at
        yield at, f"window {window.id}: {_found(window)}{answer}"
    for item in loop.retrainings:
        yield item.decided_at, f"retraining {item.id[:8]} decided; target {item.target}"
        if item.answered_at:
            yield item.answered_at, f"retraining {item.id[:8]} answered by {item.by}: {item.why}"
        if item.ended_at:
            run = item.run_id or "not told"
            yield item.ended_at, f"retraining {item.id[:8]} ended; run {run}"
        reason = f": {item.verdict or item.reason}" if item.verdict or item.reason else ""
        yield item.changed_at, f"retraining {item.id[:8]} is {_told(item)}{reason}"


def _found(window: "Window") -> str:
    """Tell in a few words what a window found."""
    states = (f"{name or 'all signals'} {seen.state}" for name, seen in window.signals.items())
    return ", ".join(states) or "nothing"
