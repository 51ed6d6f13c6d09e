"""When drift is a reason to retrain: the values that a reaction gives under `policy`."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.base.durations import Duration, between
from shared.schema.values import Values


class Mode(StrEnum):
    """The action when the policy says that it is time to retrain."""

    AUTO = "auto"  #: Retrain.
    APPROVE = "approve"  #: Ask a person, and retrain when one has approved it.
    NOTIFY = "notify"  #: Tell people, and leave the retraining to them.


class WindowsParams(Values):
    """The number of a monitor's last windows that must have drifted."""

    breached: int = Field(default=1, ge=1, le=50)
    of: int = Field(default=1, ge=1, le=50)

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.breached > self.of:
            raise ValueError(
                f"`breached` is {self.breached}, but only the last {self.of} are looked at:"
                f" `of` must be at least as many"
            )
        return self


class MetricParams(Values):
    """The conditions on one metric; by default those of the monitor, or of the policy."""

    threshold: float | None = Field(default=None, allow_inf_nan=False)
    min_effect: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    worse: Literal["higher", "lower"] | None = None

    @property
    def judges(self) -> bool:
        """Whether this replaces the monitor's own judgement of the metric."""
        return self.threshold is not None or self.worse is not None


#: The conditions on a metric that the policy does not name.
NO_METRIC = MetricParams.model_construct(threshold=None, min_effect=None, worse=None)
_YEAR = timedelta(days=365)
#: The longest time of a retraining's run.
RunTime = Annotated[
    Duration,
    between(
        timedelta(minutes=1),
        timedelta(days=90),
        why="with less every run counts as failed before it can end",
    ),
]


class PolicyParams(Values):
    """When drift is a reason to retrain."""

    windows: WindowsParams = Field(default_factory=WindowsParams)
    min_effect: float = Field(default=0, ge=0, allow_inf_nan=False)
    metrics: dict[str, MetricParams] = Field(default_factory=dict)
    signals: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    data_quality: tuple[str, ...] = ("*data_quality*",)
    cooldown: Annotated[Duration, between(timedelta(0), _YEAR)] = timedelta(days=1)
    at_once: int = Field(default=1, ge=1, le=100)
    per_week: int = Field(default=2, ge=1, le=1000)
    quiet: bool = True
    give_up_after: int = Field(default=3, ge=1, le=20)
    timeout: RunTime = timedelta(days=1)

    @field_validator("metrics")
    @classmethod
    def _check_names_differ(cls, metrics: dict[str, MetricParams]) -> dict[str, MetricParams]:
        known: dict[str, str] = {}
        for name in metrics:
            other = known.setdefault(plain_name(name), name)
            if other != name:
                raise ValueError(f"`{other}` and `{name}` are one metric")
        return metrics

    def metric(self, name: str) -> MetricParams:
        """Return the policy's conditions on a metric, in any spelling of its name."""
        if not self.metrics:
            return NO_METRIC
        wanted = plain_name(name)
        found = (value for key, value in self.metrics.items() if plain_name(key) == wanted)
        return next(found, NO_METRIC)


def plain_name(name: str) -> str:
    """Return the common form of a metric's spellings: `JensenShannonDistance` has several."""
    return "".join(filter(str.isalnum, name.casefold()))
