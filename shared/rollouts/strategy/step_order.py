"""What can't be right about the order of a strategy's steps. Pure."""

from collections.abc import Iterator, Sequence

from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.schema.faults import ParamFault

_NO_TRAFFIC = "the new deployment has no traffic here, so that there is nothing for gates to judge"


def find_sequence_faults(
    steps: Sequence[RolloutStep | None], *, has_gates: bool
) -> Iterator[ParamFault]:
    """Yield what is wrong with steps that are each right; None is one that could not be read."""
    walk = _StepWalk(has_gates=has_gates)
    for index, step in enumerate(steps):
        if step is None:
            walk.is_sure = False
        else:
            yield from walk.look(step, ("steps", index, str(step.kind)))
    if walk.is_sure:
        yield from walk.end()


class _StepWalk:
    """Follows the split through the steps."""

    def __init__(self, *, has_gates: bool) -> None:
        self.is_sure = True  # whether every step was readable so far
        self._has_gates = has_gates
        self._percent = 0
        self._mirror = 0
        self._split: tuple[str | int, ...] | None = None  # where the last split was set
        self._holds = 0
        self._has_held = False  # since the split that holds

    def look(self, step: RolloutStep, path: tuple[str | int, ...]) -> Iterator[ParamFault]:
        """Yield what is wrong with the next step, coming after those before it."""
        name = f"`steps[{path[1]}].{step.kind}`"
        match step.kind:
            case StepKind.TRAFFIC:
                if step.percent < self._percent:
                    told = f"{name} goes down, from {self._percent}% to {step.percent}%"
                    yield ParamFault(path, told, "A rollout goes back by itself where it fails.")
                self._percent, self._split, self._mirror = step.percent, path, 0
                self._has_held = False
            case StepKind.MIRROR:
                if self._split is not None:
                    told = f"{name} comes after `traffic`: a deployment gets one or the other"
                    yield ParamFault(path, told, "Put it before the first `traffic`.")
                self._mirror = step.percent
            case StepKind.HOLD:
                has_traffic = self._percent or self._mirror or not self.is_sure
                if self._has_gates and not has_traffic:
                    hint = "Put it after a `mirror` or a `traffic`."
                    yield ParamFault(path, f"{name}: {_NO_TRAFFIC}", hint)
                self._holds += 1
                self._has_held = True
            case StepKind.BETTER:
                is_split = 0 < self._percent < 100 and self._has_held
                if not is_split and self.is_sure:
                    told = f"{name} compares two deployments that both have traffic for a while"
                    hint = "Put `- traffic: 50%` and `- hold: 1d` before it."
                    yield ParamFault(path, told, hint)

    def end(self) -> Iterator[ParamFault]:
        """Yield what is missing after the last step."""
        if self._split is None:
            told = "`steps` never sends the new deployment any traffic"
            yield ParamFault(("steps",), told, "Add `- traffic: 100%`.", is_of_key=True)
        elif self._percent < 100:
            told = f"the last split is {self._percent}%, it has to be 100%"
            yield ParamFault(self._split, told, "Add `- traffic: 100%` after it.")
        if self._has_gates and not self._holds:
            told = "`gates` are judged while a split holds, and there is no `hold`"
            yield ParamFault(
                ("gates",), told, "Add `- hold: 15m` after a `traffic`.", is_of_key=True
            )
