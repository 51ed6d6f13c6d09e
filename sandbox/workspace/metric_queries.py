"""A metrics query: the parameters of Azure Monitor's metrics API, checked."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sandbox.workspace.arm import ArmError
from sandbox.workspace.metric_definitions import AGGREGATIONS, Metric
from sandbox.workspace.metric_filters import Condition, parse_filter

MINUTE = 60
USUAL_TOP = 10

#: Seconds by interval; PT1S is the emulator's own.
_GRAINS = {
    "PT1S": 1,
    "PT1M": MINUTE,
    "PT5M": 300,
    "PT15M": 900,
    "PT30M": 1800,
    "PT1H": 3600,
    "PT6H": 21600,
    "PT12H": 43200,
    "P1D": 86400,
}
_DURATION = re.compile(
    r"P(?=.)(?:(?P<days>\d+)D)?(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


class MetricsError(ArmError):
    """A refusal of Azure Monitor's, which has no envelope around its code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.body = {"code": code, "message": f"{message}, TraceId: {{{uuid.uuid4()}}}"}


def bad_query(message: str) -> MetricsError:
    """Build the refusal of a query that makes no sense."""
    return MetricsError(400, "BadRequest", message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query; `interval` and `span` are as they were asked for, times are Unix seconds."""

    metrics: tuple[Metric, ...]
    aggregations: tuple[str, ...]
    interval: str
    span: tuple[datetime, datetime]
    #: The first value begins at `start`, and the last one before `end`.
    start: int
    end: int
    #: The length of a value.
    grain: int
    conditions: tuple[Condition, ...]
    #: Dimensions that the filter names and the answer adds up.
    rolled_up: frozenset[str]
    top: int | None
    is_ascending: bool
    namespace: str

    @property
    def step(self) -> int:
        """The length of the values that a grain is made of: a minute, or a second."""
        return min(self.grain, MINUTE)

    def conditions_of(self, metric: Metric) -> tuple[Condition, ...]:
        """Return the conditions on the metric's own dimensions."""
        names = {name.lower() for name in metric.dimensions}
        return tuple(each for each in self.conditions if each.dimension in names)


def parse_query(
    params: Mapping[str, str], kind: str, metrics: Mapping[str, Metric], now: datetime
) -> Query:
    """Return the query in the parameters for a kind of resource, or refuse them."""
    given = {name.lower(): value for name, value in params.items()}
    wanted = _metrics(given.get("metricnames", ""), kind, metrics)
    span = _span(given.get("timespan"), now)
    interval = given.get("interval", "PT1M").upper()
    start, end = (int(moment.timestamp()) for moment in span)
    grain = max(1, end - start) if interval == "FULL" else _grain(interval, wanted)
    is_valid = given.get("validatedimensions", "true").lower() == "true"
    namespace = given.get("metricnamespace", "")
    if namespace and namespace.lower() != kind.lower():
        raise bad_query(f"Metric namespace {namespace} is not one of the resource: {kind}")
    return Query(
        metrics=wanted,
        aggregations=_aggregations(given.get("aggregation", "")),
        interval=interval,
        span=span,
        start=start if interval == "FULL" else start - start % min(grain, MINUTE),
        end=end,
        grain=grain,
        conditions=_conditions(given.get("$filter", ""), wanted, is_valid=is_valid),
        rolled_up=frozenset(given.get("rollupby", "").lower().split(",")),
        top=_top(given.get("top")) if given.get("$filter") else None,
        is_ascending=given.get("orderby", "").lower().endswith(" asc"),
        namespace=namespace.lower() or kind,
    )


def _metrics(names: str, kind: str, metrics: Mapping[str, Metric]) -> tuple[Metric, ...]:
    if not names:
        return (next(iter(metrics.values())),)
    provider, _, resource_type = kind.partition("/")
    for name in names.split(","):
        if name not in metrics:
            raise bad_query(
                f"Failed to find metric configuration for provider: {provider}, resource Type: "
                f"{resource_type}, metric: {name}, Valid metrics: {','.join(metrics)}"
            )
    return tuple(metrics[name] for name in names.split(","))


def _span(given: str | None, now: datetime) -> tuple[datetime, datetime]:
    first, _, second = (given or "PT1H").partition("/")
    start, end = _moment(first), _moment(second)
    try:
        if second and end is None:
            end = start + _duration(second) if start else None
        elif start is None:
            end = end or now
            start = end - _duration(first)
    except (ValueError, OverflowError):
        start = end = None
    if start is None or end is None:
        raise bad_query(
            f"Detected invalid time interval input: {given}, supported Iso 8601 time interval "
            "format: (Datetime/Datetime, Datetime/Duration, Duration/Datetime, Duration)"
        )
    if start >= end:
        raise bad_query(f"The start of the time interval must be before its end: {given}")
    return start, end


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return timedelta(**{unit: float(count) for unit, count in match.groupdict("0").items()})


def _grain(interval: str, metrics: tuple[Metric, ...]) -> int:
    if interval in _GRAINS:
        return _GRAINS[interval]
    try:
        wanted = _duration(interval)
    except ValueError:
        message = f"Detected invalid time grain input: {interval}, supported Iso 8601 duration"
        raise bad_query(message) from None
    allowed = (_clock(timedelta(seconds=grain)) for grain in _GRAINS.values() if grain > 1)
    raise bad_query(
        f"Commonly allowed time grains: {','.join(allowed)} between metrics: "
        f"{','.join(metric.name for metric in metrics)}, can not support requested time grain: "
        f"{_clock(wanted)} please adjust your interval parameter to use one of the common grains"
    )


def _clock(span: timedelta) -> str:
    minutes, seconds = divmod(span.seconds, 60)
    days = f"{span.days}." if span.days else ""
    return f"{days}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _aggregations(given: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in given.split(",")) if given else ("average",)
    for name in names:
        if name not in AGGREGATIONS:
            raise bad_query(
                f"Invalid aggregation type: {name}, supported ones are: {','.join(AGGREGATIONS)}"
            )
    return names


def _conditions(text: str, metrics: tuple[Metric, ...], *, is_valid: bool) -> tuple[Condition, ...]:
    try:
        conditions = parse_filter(text)
    except ValueError as problem:
        raise bad_query(str(problem)) from None
    asked = list(dict.fromkeys(condition.dimension for condition in conditions))
    for metric in metrics:
        has = {name.lower() for name in metric.dimensions}
        if is_valid and not has.issuperset(asked):
            raise bad_query(
                f"Metric: {metric.name} does not support requested dimension combination: "
                f"{','.join(asked)}, supported ones are: {','.join(metric.dimensions)}"
            )
    return conditions


def _top(given: str | None) -> int:
    try:
        top = USUAL_TOP if given is None else int(given)
    except ValueError:
        top = 0
    if top < 1:
        raise bad_query(f"Invalid top: {given}, a positive whole number is expected")
    return top
