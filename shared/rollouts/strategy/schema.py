"""Strategies as they are written under `rollouts:`, and the faults of one."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model

from shared.base.durations import Duration, between
from shared.rollouts.strategy.gates_schema import GatesParams
from shared.rollouts.strategy.model import (
    Newer,
    OnConflict,
    OnFailure,
    RolloutStep,
    StepKind,
    Strategy,
)
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.rollouts.strategy.step_order import find_sequence_faults
from shared.rollouts.strategy.steps.kinds import WRITTEN
from shared.rollouts.strategy.steps.written_step import SPAN_MAX, Span
from shared.schema.faults import ParamFault, read_values
from shared.schema.quantities import WRITTEN_PERCENT, fraction
from shared.schema.values import LoadContext, Values, unfit
from shared.schema.wording import cut, found, suggest

_MOST_STEPS = 50
_AT_ONCE = timedelta(0)
_DAY = timedelta(days=1)


def _one_step(value: object) -> object:
    """Let pass what has one key, or can't have any."""
    if isinstance(value, str):
        hint = "End its name with `:`."
        if value not in StepParams.model_fields:
            is_share = value.strip().endswith("%")
            hint = "Write `traffic: 10%`." if is_share else suggest(value, StepParams.model_fields)
        raise unfit(f"should be a mapping, found {found(value)}", hint)
    if isinstance(value, dict) and len(value) > 1:
        first = next(iter(value))
        if first in StepParams.model_fields and value[first] is None:
            message = f"has the values of `{first}` beside it, not below"
            raise unfit(message, f"Indent them by two spaces more than `{first}`.")
    if isinstance(value, dict) and len(value) != 1:
        names = ", ".join(f"`{cut(key)}`" for key in list(value)[:4]) or "none"
        raise unfit(f"should be one step, found {names}", "Begin each step with `- `.")
    return value


class OneStepParams(Values):
    """One step: exactly one of the kinds, under its name."""

    @property
    def step(self) -> RolloutStep:
        """The step; a probe without values is left to the action."""
        (name,) = self.model_fields_set
        return WRITTEN[StepKind(name)].read(getattr(self, name))


if TYPE_CHECKING:
    StepParams = OneStepParams  # mypy takes no type that is made at run time
else:
    #: One step, with a field for each kind.
    StepParams = create_model(
        "StepParams",
        __base__=OneStepParams,
        **{str(kind): (written.value, None) for kind, written in WRITTEN.items()},
    )


def _check_base(name: object) -> object:
    if not isinstance(name, str) or name not in READY_MADE:
        hint = suggest(name if isinstance(name, str) else "", READY_MADE)
        raise unfit(f"should be a ready-made strategy, found {found(name)}", hint)
    return name


def _some(steps: tuple[StepParams, ...]) -> tuple[StepParams, ...]:
    if not 1 <= len(steps) <= _MOST_STEPS:
        raise unfit(f"should have 1 to {_MOST_STEPS} steps, found {len(steps)}")
    return steps


OneStep = Annotated[StepParams, BeforeValidator(_one_step)]


#: A strategy with nothing but steps: only its type states the defaults.
_USUAL = Strategy(name="", steps=())


class StrategyParams(Values):
    """A strategy. Its steps are here, also where it is based on a ready-made one."""

    based_on: Annotated[
        str, BeforeValidator(_check_base), WithJsonSchema({"enum": [*READY_MADE]})
    ] = ""
    steps: Annotated[tuple[OneStep, ...], AfterValidator(_some)]
    gates: GatesParams = Field(default_factory=GatesParams)
    confidence: Annotated[float, BeforeValidator(fraction(50, 99.99)), WRITTEN_PERCENT] = (
        _USUAL.confidence
    )
    patience: Annotated[Duration, between(_AT_ONCE, SPAN_MAX)] = _USUAL.patience
    answer_within: Span = _USUAL.answer_within
    on_failure: OnFailure = _USUAL.on_failure
    on_conflict: OnConflict = _USUAL.on_conflict
    newer: Newer = _USUAL.newer
    keep_failed: Annotated[Duration, between(_AT_ONCE, SPAN_MAX)] = _USUAL.keep_failed
    step_down_every: Annotated[Duration, between(_AT_ONCE, _DAY)] = _USUAL.step_down_every

    def strategy(self, name: str) -> Strategy:
        """Return the strategy under a name."""
        others = self.model_dump(exclude={"based_on", "steps", "gates"})
        steps = tuple(item.step for item in self.steps)
        return Strategy(name=name, steps=steps, gates=self.gates.gates, **others)


def read_strategy(
    name: str, raw: Mapping[str, Any], context: LoadContext
) -> tuple[Strategy | None, tuple[ParamFault, ...]]:
    """Return the strategy that is written under a name, or None and all its faults."""
    values = _with_base(raw)
    params, faults = read_values(name, values, StrategyParams, context)
    all_faults = (*_find_origin_faults(name, raw), *faults)
    items = values["steps"]
    if isinstance(items, list) and items:
        steps = [_read_step(item, context) for item in items]
        all_faults += tuple(find_sequence_faults(steps, has_gates=bool(values.get("gates"))))
    return (None if all_faults or params is None else params.strategy(name)), all_faults


def _with_base(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values, completed from those that they are based on.

    A strategy that lacks its steps gets some, so that all else is checked.
    """
    if "steps" in raw:
        return raw
    base = raw.get("based_on")
    name = base if isinstance(base, str) and base in READY_MADE else "canary"
    return {**READY_MADE[name], **raw}


def _find_origin_faults(name: str, raw: Mapping[str, Any]) -> Iterator[ParamFault]:
    if "steps" in raw and "based_on" in raw:
        hint = "Keep one of them: `based_on` brings the steps of a ready-made strategy."
        message = f"`{name}` has `steps` and `based_on`"
        yield ParamFault(("based_on",), message, hint, is_of_key=True)
    if "steps" not in raw and "based_on" not in raw:
        yield ParamFault(("steps",), f"`{name}` needs `steps` or `based_on`", is_of_key=True)


def _read_step(item: object, context: LoadContext) -> RolloutStep | None:
    params, _ = read_values("", {"steps": [item]}, StrategyParams, context)
    return params.steps[0].step if params else None


def find_strategy(name: str, own: Mapping[str, Strategy | None]) -> Strategy | None:
    """Return the ready-made strategy of this name, or that of `own`, or None."""
    return _ready_made(name) if name in READY_MADE else own.get(name)


@cache
def _ready_made(name: str) -> Strategy:
    return StrategyParams.model_validate(READY_MADE[name]).strategy(name)
