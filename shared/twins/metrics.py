"""The in-memory twin of the endpoints' metrics, made from the splits that the endpoints had.

Every endpoint gets requests at one rate. The random numbers of each minute and deployment are
seeded with their names, so the same story has the same figures at each reading.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from math import exp, floor, sqrt
from random import Random
from statistics import NormalDist
from types import MappingProxyType
from typing import Final

from shared.base.clock import Clock
from shared.base.errors import WorkspaceRefused
from shared.events.model import Workspace
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.metrics import Measure, Minute, Readings

type DeploymentKey = tuple[str, str]

#: The distance of a percentile from the median, in standard deviations.
_DEVIATIONS: Final = MappingProxyType(
    {
        Measure.LATENCY_P50: 0.0,
        Measure.LATENCY_P90: NormalDist().inv_cdf(0.90),
        Measure.LATENCY_P95: NormalDist().inv_cdf(0.95),
        Measure.LATENCY_P99: NormalDist().inv_cdf(0.99),
    }
)
#: The share by which a minute's load changes all latencies of an endpoint.
_WOBBLE = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsBehaviour:
    """The behaviour of a deployment.

    Latencies are log-normal: `latency_ms` is their median, `spread` the deviation of their
    logarithms. CPU and memory are in percent, and do not depend on the load.
    """

    error_rate: float = 0.0
    latency_ms: float = 50.0
    spread: float = 0.3
    cpu: float = 30.0
    memory: float = 40.0


class MemoryMetrics:
    """The metrics of all deployments in a twin of the workspaces.

    It learns of splits when it is read, and from `observe`, which has to be called before each move
    of the clock. A split counts from the next whole minute, a behaviour from the minute in which it
    is set.
    """

    def __init__(
        self,
        clock: Clock,
        workspaces: MemoryWorkspaces,
        *,
        grain: timedelta = timedelta(minutes=1),
    ) -> None:
        self._clock = clock
        self._workspaces = workspaces
        self._grain = grain
        #: Requests a minute to each endpoint.
        self.rate = 600.0
        #: A minute can be read so long after its end.
        self.lag = timedelta(0)
        #: The exception that reading raises, if it is not None.
        self.unavailable: Exception | None = None
        self._behaviours: list[tuple[datetime, str, MetricsBehaviour]] = []
        self._splits: dict[DeploymentKey, list[tuple[datetime, Mapping[str, int]]]] = {}

    @property
    def grain(self) -> timedelta:
        """The span of one reading."""
        return self._grain

    def behave(self, deployments: str, behaviour: MetricsBehaviour) -> None:
        """Set the behaviour of deployments by a glob on their names; the last call wins."""
        self._behaviours.append((self._clock.now(), deployments, behaviour))

    def observe(self) -> None:
        """Note the present splits, as the workspaces were last seen."""
        now = self._clock.now()
        for key, endpoint in self._workspaces.endpoints.items():
            shares = {
                name: endpoint.traffic.get(name, 0) + endpoint.mirror.get(name, 0)
                for name in self._workspaces.deployments.get(key, {})
            }
            history = self._splits.setdefault(key, [])
            if not history or history[-1][1] != shares:
                history.append((now, shares))

    def read(
        self,
        workspace: Workspace,
        endpoint: str,
        deployments: Collection[str],
        measures: Collection[Measure],
        *,
        start: datetime,
        end: datetime,
    ) -> Readings:
        """Return the deployments' readings from `start` until before `end`, both whole minutes.

        Raises: WorkspaceRefused for an absent endpoint or deployment, and the Exception in
        `unavailable`.
        """
        self.observe()
        if self.unavailable is not None:
            raise self.unavailable
        key = (workspace.key, endpoint)
        if key not in self._workspaces.endpoints:
            raise WorkspaceRefused(f"there is no endpoint {endpoint}")
        known = {name.lower(): name for name in self._workspaces.deployments.get(key, {})}
        absent = [name for name in deployments if name.lower() not in known]
        if absent and not {Measure.CPU, Measure.MEMORY}.isdisjoint(measures):
            raise WorkspaceRefused(f"there is no deployment {absent[0]}")
        minutes = {
            name: tuple(self._minutes(key, known.get(name.lower(), name), measures, start, end))
            for name in deployments
        }
        queries = (f"{workspace.id}/onlineEndpoints/{endpoint}",) if deployments else ()
        return Readings(start=start, end=end, grain=self._grain, minutes=minutes, queries=queries)

    def _minutes(
        self,
        key: DeploymentKey,
        deployment: str,
        measures: Collection[Measure],
        start: datetime,
        end: datetime,
    ) -> Iterator[Minute]:
        at, last = start, min(end, self._clock.now() - self.lag)
        while at + self._grain <= last:
            share = self._shares(key, at).get(deployment)
            if share is not None:
                minute = self._minute(key, deployment, share / 100, measures, at)
                if minute.requests or minute.values:
                    yield minute
            at += self._grain

    def _minute(
        self,
        key: DeploymentKey,
        deployment: str,
        share: float,
        measures: Collection[Measure],
        at: datetime,
    ) -> Minute:
        expected = self.rate * share * (self._grain / timedelta(minutes=1))
        behaviour = self._behaviour(deployment, at)
        requests, errors, values = _made_up(
            f"{key}", deployment, at.timestamp(), expected, behaviour
        )
        measured = {measure: value for measure, value in values.items() if measure in measures}
        return Minute(at=at, requests=requests, errors=errors, values=measured)

    def _shares(self, key: DeploymentKey, at: datetime) -> Mapping[str, int]:
        history = self._splits.get(key, [])
        found = bisect_right(history, at, key=lambda entry: entry[0])
        return history[found - 1][1] if found else {}

    def _behaviour(self, deployment: str, at: datetime) -> MetricsBehaviour:
        for since, pattern, behaviour in reversed(self._behaviours):
            if since < at + self._grain and fnmatchcase(deployment, pattern):
                return behaviour
        return MetricsBehaviour()


@lru_cache(maxsize=10_000)  # each look at gates reads the minutes of the looks before it
def _made_up(
    endpoint: str, deployment: str, at: float, expected: float, behaviour: MetricsBehaviour
) -> tuple[int, int, Mapping[Measure, float]]:
    """Return the requests, errors and values of a minute: always the same of the same minute."""
    chance = Random(f"{endpoint} {deployment} {at}")
    requests = floor(expected + chance.random())
    errors = chance.binomialvariate(requests, behaviour.error_rate)
    values = {Measure.CPU: behaviour.cpu, Measure.MEMORY: behaviour.memory}
    if requests:
        load = Random(f"{endpoint} {at}").gauss(0, _WOBBLE)
        values |= dict(_latencies(behaviour, requests, load, chance))
    return requests, errors, values


def _latencies(
    behaviour: MetricsBehaviour, requests: int, load: float, chance: Random
) -> Iterator[tuple[Measure, float]]:
    """Yield each latency as measured over so many requests, one random number after the other."""
    median, spread = behaviour.latency_ms * exp(load), behaviour.spread
    noise = spread / sqrt(requests)
    yield Measure.LATENCY, median * exp(spread**2 / 2 + chance.gauss(0, noise))
    for measure, deviations in _DEVIATIONS.items():
        # The further out a percentile is, the fewer requests it is measured from.
        error = chance.gauss(0, noise * (1 + deviations))
        yield measure, median * exp(spread * deviations + error)
