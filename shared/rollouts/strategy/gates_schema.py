"""Gates as they are written under `gates:` of a strategy."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from shared.rollouts.strategy.model import Gate, NoVerdict
from shared.schema.quantities import (
    WRITTEN_PERCENT,
    WRITTEN_TIME,
    fraction,
    milliseconds,
    percent,
)
from shared.schema.values import Values, unfit
from shared.workspaces.metrics import Measure

Share = Annotated[float, BeforeValidator(fraction(0, 100)), WRITTEN_PERCENT]
Points = Annotated[float, BeforeValidator(percent(0, 100)), WRITTEN_PERCENT]
Milliseconds = Annotated[float, BeforeValidator(milliseconds), WRITTEN_TIME]

_LIMITS = ("max", "max_increase", "max_ratio")
_MOST_REQUESTS = 10**9


def _as_empty(value: object) -> object:
    """Treat `error_rate:` (null) as an empty gate, whose fault is that it has no limit."""
    return {} if value is None else value


#: A gate without values: only its type states the defaults.
_USUAL = Gate(measure=Measure.REQUESTS)


class GateParams(Values):
    """The keys of every gate: the decision if it has no verdict."""

    no_data: NoVerdict = _USUAL.no_data
    too_few: NoVerdict = _USUAL.too_few
    unavailable: NoVerdict = _USUAL.unavailable

    def gate(self, measure: Measure) -> Gate:
        """Return the gate on this measure."""
        return Gate(measure=measure, **self.model_dump())


class RequestsGateParams(GateParams):
    """A minimum number of requests."""

    min: int = Field(ge=1, le=_MOST_REQUESTS)

    def gate(self, measure: Measure) -> Gate:
        """Return the gate: its limit is what other gates need for a verdict."""
        answers = self.model_dump(exclude={"min"})
        return Gate(measure=measure, min_requests=self.min, **answers)


class LimitParams(GateParams):
    """A limit, or several, on what is measured."""

    min_requests: int = Field(default=_USUAL.min_requests, ge=0, le=_MOST_REQUESTS)
    observe: bool = _USUAL.observe

    @model_validator(mode="after")
    def _has_limit(self) -> Self:
        limits = [name for name in _LIMITS if name in type(self).model_fields]
        if all(getattr(self, name) is None for name in limits):
            hint = f"Give {' or '.join(f'`{name}`' for name in limits)}."
            raise unfit("has no limit", hint)
        return self


class RateGateParams(LimitParams):
    """Limits on a share of the requests."""

    max: Share | None = None
    max_increase: Share | None = None


class LatencyGateParams(LimitParams):
    """Limits on a time to answer."""

    max: Milliseconds | None = None
    max_ratio: float | None = Field(default=None, ge=1, allow_inf_nan=False)


class UseGateParams(LimitParams):
    """Limits on the use of processors or memory, in percent."""

    max: Points | None = None
    max_increase: Points | None = None


RateGate = Annotated[RateGateParams | None, BeforeValidator(_as_empty)]
LatencyGate = Annotated[LatencyGateParams | None, BeforeValidator(_as_empty)]
UseGate = Annotated[UseGateParams | None, BeforeValidator(_as_empty)]
RequestsGate = Annotated[RequestsGateParams | None, BeforeValidator(_as_empty)]


class GatesParams(Values):
    """The gates of a strategy: one for each measure, at the most."""

    error_rate: RateGate = None
    latency: LatencyGate = None
    latency_p50: LatencyGate = None
    latency_p90: LatencyGate = None
    latency_p95: LatencyGate = None
    latency_p99: LatencyGate = None
    requests: RequestsGate = None
    cpu: UseGate = None
    memory: UseGate = None

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates that are given, in the order of the measures."""
        given = ((measure, getattr(self, measure)) for measure in Measure)
        return tuple(params.gate(measure) for measure, params in given if params is not None)
