"""Mistakes in the order of a strategy's steps. Pure."""

from collections.abc import Iterator, Sequence

from shared.rollouts.strategy.model import RolloutStep
from shared.rollouts.strategy.steps.kinds import WRITTEN
from shared.rollouts.strategy.steps.written_step import StepsBefore
from shared.schema.faults import ParamFault


def find_sequence_faults(
    steps: Sequence[RolloutStep | None], *, has_gates: bool
) -> Iterator[ParamFault]:
    """Yield the faults in the order of steps that are each right; None is an unreadable one."""
    before = StepsBefore(has_gates=has_gates)
    for index, step in enumerate(steps):
        if step is None:
            before.is_sure = False
        else:
            path = ("steps", index, str(step.kind))
            yield from WRITTEN[step.kind].find_faults(step, before, path)
    if before.is_sure:
        yield from _find_missing(before)


def _find_missing(before: StepsBefore) -> Iterator[ParamFault]:
    """Yield what is missing after the last step."""
    if before.split is None:
        message = "`steps` never sends the new deployment any traffic"
        yield ParamFault(("steps",), message, "Add `- traffic: 100%`.", is_of_key=True)
    elif before.percent < 100:
        message = f"the last split is {before.percent}%, it has to be 100%"
        yield ParamFault(before.split, message, "Add `- traffic: 100%` after it.")
    if before.has_gates and not before.holds:
        message = "`gates` are judged while a split holds, and there is no `hold`"
        yield ParamFault(
            ("gates",), message, "Add `- hold: 15m` after a `traffic`.", is_of_key=True
        )
