"""The drawing of one rollout: lines of text, with colour where the terminal has it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.text import Text

from commands.common import visible, when
from shared.base.words import elapsed
from shared.rollouts.engine.give_order import possible_orders
from shared.rollouts.people.forecast import Coming
from shared.rollouts.people.progress import (
    SplitSeen,
    StepMark,
    StepSeen,
    awaited,
    splits_of,
    steps_of,
)
from shared.rollouts.state.measurement import GateOutcome, Measurement
from shared.rollouts.state.phases import STEPS, Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import share
from shared.rollouts.strategy.steps.kinds import step_words
from shared.workspaces.metrics import Measure

_BAR: Final = 10
_MARKS: Final = {
    StepMark.DONE: ("✓", "green"),
    StepMark.NOW: ("▶", "bold cyan"),
    StepMark.TO_COME: ("○", "dim"),
    StepMark.SKIPPED: ("-", "dim"),
    StepMark.FAILED: ("✗", "bold red"),
}
_OUTCOMES: Final = {
    GateOutcome.PASS: "green",
    GateOutcome.FAIL: "bold red",
}
_HEADING: Final = "bold"
_INDENT: Final = " " * 8


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The parts of the view: a rollout, all its measurements in order, and its next steps."""

    rollout: Rollout
    measurements: tuple[Measurement, ...]
    coming: tuple[Coming, ...]
    now: datetime


def draw(view: View, *, measurements: bool = False) -> Iterator[Text]:
    """Yield the lines of the drawing; `measurements` adds every look at the gates."""
    yield from _facts(view)
    yield from _section("steps", _steps(view))
    yield from _section("split over time", _splits(splits_of(view.rollout)))
    yield from _section("next, at the earliest", _next(view))
    yield from _section("history", _history(view.rollout))
    if measurements:
        yield from _section("measurements", _measurements(view))
    logs = view.rollout.attempt.logs.splitlines()
    yield from _section(
        "last lines of the container's log", (Text(f"  {visible(line)}") for line in logs)
    )


def _section(title: str, lines: Iterable[Text]) -> Iterator[Text]:
    """Yield the lines below their title; nothing where there are none."""
    for number, line in enumerate(lines):
        if number == 0:
            yield Text(f"{title}:", style=_HEADING)
        yield line


def _facts(view: View) -> Iterator[Text]:
    rollout = view.rollout
    plan = rollout.plan
    waits, is_unseen = awaited(rollout, view.now), rollout.phase in (Phase.QUEUED, Phase.CHECKING)
    until = f", until {when(waits.until)}" if waits and waits.until else ""
    facts = {
        "rollout": rollout.id,
        "model": rollout.model.words,
        "workspace": rollout.workspace.name,
        "endpoint": rollout.endpoint,
        "kind": str(plan.kind),
        "strategy": plan.strategy.name,
        "deployment": rollout.deployment if plan.creates else f"{rollout.deployment}, was there",
        "environment": plan.container.environment_words if plan.container else "",
        "code": plan.container.code_words if plan.container else "",
        "reaction": rollout.reaction_step,
        "event": f"{rollout.ref.type} {rollout.ref.about or rollout.ref.id}",
        "stable": rollout.stable or ("" if is_unseen else "(nothing served before)"),
        "phase": f"{rollout.phase} since {when(rollout.since)}",
        "waits for": f"{waits.what}{until}" if waits else "",
        "probe": f"it {rollout.proof}" if rollout.proof else "",
        "attempt": str(rollout.attempt.retries + 1) if rollout.attempt.retries else "",
        "reason": _reason(rollout),
        "trouble": rollout.work.trouble,
        "given_up": rollout.given_up,
        "next tick": "" if rollout.phase.is_terminal else when(rollout.schedule.due_at),
    }
    pending = [("ordered", f"{order.words} ({when(order.at)})") for order in rollout.orders]
    for name, value in (*facts.items(), *pending):
        if value:
            yield Text(f"{name + ':':12} {visible(value)}")


# The steps


def _steps(view: View) -> Iterator[Text]:
    seen = steps_of(view.rollout, view.measurements)
    words = [visible(step_words(item.step)) for item in seen]
    wide, shares = max(map(len, words), default=0), [_share(item) for item in seen]
    proof = {item.measure: item for item in view.measurements if item.step < 0}
    if proof:
        yield Text("  before the first, of the deployment that serves")
        for measurement in proof.values():
            yield from _gate(measurement)
    for number, (item, words_of_step, part) in enumerate(
        zip(seen, words, shares, strict=True), start=1
    ):
        sign, style = _MARKS[item.mark]
        line = Text(f"  {sign} {number:>2} {words_of_step:{wide}}", style=style)
        if item.mark is not StepMark.SKIPPED:
            line.append(f"  {_bar(item.share, item.mirrored)} {part:{max(map(len, shares))}}")
            line.append(f"  {_times(item, view)}")
        line.rstrip()
        yield line
        for measurement in item.measured:
            yield from _gate(measurement)


def _bar(percent: int, mirrored: int = 0) -> str:
    """Draw a share; a little is never drawn as nothing, nor nearly all as all."""
    drawn, sign = (percent, "█") if percent or not mirrored else (mirrored, "▒")
    full = round(drawn * _BAR / 100)
    if 0 < drawn < 100:
        full = min(max(full, 1), _BAR - 1)
    return sign * full + "░" * (_BAR - full)


def _share(item: StepSeen | SplitSeen) -> str:
    return (
        f"{item.mirrored:>3}% mirrored" if item.mirrored and not item.share else f"{item.share:>3}%"
    )


def _times(item: StepSeen, view: View) -> str:
    if item.began is None:
        return ""
    took = elapsed((item.ended or view.now) - item.began)
    if item.mark is StepMark.NOW and item.ended is None:
        return f"{when(item.began)}  for {took} now"
    return f"{when(item.began)}  {took}"


def _gate(item: Measurement) -> Iterator[Text]:
    line = Text(f"{_INDENT}{item.measure:<12} ")
    line.append(f"{item.outcome:<11} ", style=_OUTCOMES.get(item.outcome, "yellow"))
    line.append(visible(_values(item)))
    yield line
    finding = item.limit if item.outcome is GateOutcome.PASS else item.detail
    observed = "observed only" if item.observe else ""
    if below := "; ".join(filter(None, (finding, observed))):
        yield Text(f"{_INDENT}{'':12} {visible(below)}", style="dim")


def _values(item: Measurement) -> str:
    values = f"new {_amount(item.measure, item.new)}  stable {_amount(item.measure, item.stable)}"
    if item.p_value is None or item.alpha is None:
        return values
    sign = "<" if item.p_value < item.alpha else "≥"
    return f"{values}  p {item.p_value:.2g} {sign} {item.alpha:.2g}"


def _amount(measure: Measure, value: float | None) -> str:
    if value is None:
        return "-"
    if measure is Measure.REQUESTS:
        return f"{value:.0f}"
    if measure.is_latency:
        return f"{value:.3g}ms" if value < 1000 else f"{value:.0f}ms"
    return f"{value * 100:.3g}%" if measure is Measure.ERROR_RATE else f"{value:.3g}%"


# The rest


def _splits(splits: Sequence[SplitSeen]) -> Iterator[Text]:
    wide = max((len(_share(item)) for item in splits), default=0)
    for item in splits:
        bar = _bar(item.share, item.mirrored)
        yield Text(f"  {when(item.at)}  {bar} {_share(item):{wide}}  {visible(item.words)}")


def _next(view: View) -> Iterator[Text]:
    rollout = view.rollout
    for coming in view.coming:
        yield Text(f"  {when(coming.at)}  {visible(coming.what)}")
    possible = possible_orders(rollout)
    if not possible:
        return
    if rollout.phase not in (Phase.HELD, Phase.APPROVING):
        yield Text(f"  it takes the orders: {', '.join(possible)}")
        return
    yield Text("  it takes the orders:")
    for kind in possible:
        yield Text(f'    signalbox rollouts {kind} {visible(rollout.id[:8])} --why "reason"')


def _history(rollout: Rollout) -> Iterator[Text]:
    for moment in rollout.history:
        step = step_number(rollout, moment.step)
        line = f"  {when(moment.at)}  {moment.phase:13} {step:5} {visible(moment.text)}"
        yield Text(line.rstrip())


def _measurements(view: View) -> Iterator[Text]:
    for item in view.measurements:
        step = step_number(view.rollout, item.step) or "proof"
        yield Text(
            f"  {when(item.at)}  {step:5} {item.measure:<12} {item.outcome:<11} {_values(item)}"
        )
        yield Text(f"{_INDENT}{visible(item.detail)}")
        window = f"{when(item.start)} to {when(item.end)}, " if item.start and item.end else ""
        requests = f"{item.requests} requests, {item.stable_requests} of the stable one"
        yield Text(f"{_INDENT}{window}{requests}")
        for query in item.queries:
            yield Text(f"{_INDENT}{visible(query)}", style="dim")


def step_number(rollout: Rollout, step: int) -> str:
    """Say a step as "3/7"; "" before the first and after the last."""
    count = len(rollout.plan.strategy.steps)
    return f"{step + 1}/{count}" if 0 <= step < count else ""


def step_of(rollout: Rollout) -> str:
    """Say where the rollout is among its steps: "3/7 hold"."""
    step = rollout.current
    return f"{step_number(rollout, rollout.step)} {step.kind}" if step is not None else ""


def split_of(rollout: Rollout) -> str:
    """Say what the new deployment gets: "new 10%", "new 0%, mirrored 10%"."""
    ours = rollout.deployment
    mirrored = share(rollout.traffic.mirror, ours)
    live = f"new {share(rollout.traffic.split, ours)}%"
    return f"{live}, mirrored {mirrored}%" if mirrored else live


def waits_of(rollout: Rollout, now: datetime) -> str:
    """Say what the rollout waits for, and why it is where it is."""
    waits = awaited(rollout, now)
    if waits is None:
        return _reason(rollout)
    wait = f"{waits.what}, until {when(waits.until)}" if waits.until else waits.what
    why = rollout.work.trouble or _reason(rollout)
    return f"{wait}: {why}" if why else wait


def _reason(rollout: Rollout) -> str:
    """Return why it is where it is; "" where it goes forward, as its steps say."""
    return "" if rollout.phase in (*STEPS, Phase.LIVE) else rollout.reason
