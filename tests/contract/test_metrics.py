"""Reading the metrics of endpoints: over the emulator of Azure Monitor and over the twin."""

import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from shared.adapters.aml.azure_monitor import AzureMonitorMetrics
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.base.errors import WorkspaceRefused, WorkspaceUnreachable
from shared.events.model import Workspace
from shared.twins.metrics import MemoryMetrics, MetricsBehaviour
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.metrics import Measure, Metrics, Minute, Readings
from shared.workspaces.model import DeploymentSpec, Endpoint
from shared.workspaces.ports import Workspaces

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
MINUTE = timedelta(minutes=1)
#: Requests in each minute, to the whole endpoint.
RATE = 20


@dataclass(frozen=True)
class Bench:
    """An endpoint `ep-1` with deployments `blue` and `green`, and requests to it."""

    metrics: Metrics
    workspaces: Workspaces
    #: Lets everything end that is under way.
    settle: Callable[[], object]
    #: Makes a deployment fail all requests, or answer them slowly.
    behave: Callable[[str, str], object]
    #: Sends requests for so many minutes, and returns when the first of them began.
    serve: Callable[[int], datetime]
    #: Lets so many minutes pass.
    wait: Callable[[int], object]
    #: Makes metrics so many minutes late.
    delay: Callable[[int], object]
    #: Takes the metrics away.
    end: Callable[[], object]

    def endpoint(self) -> Endpoint:
        found = self.workspaces.get_endpoint(WORKSPACE, "ep-1")
        assert found is not None
        return found

    def split(self, *, mirror: dict[str, int] | None = None, **traffic: int) -> None:
        self.workspaces.set_traffic(WORKSPACE, self.endpoint(), traffic, {}, mirror=mirror or {})
        self.settle()
        assert self.endpoint().traffic == traffic

    def read(
        self,
        start: datetime,
        *measures: Measure,
        minutes: int = 2,
        deployments: Collection[str] = ("blue", "green"),
        endpoint: str = "ep-1",
    ) -> Readings:
        return self.metrics.read(
            WORKSPACE, endpoint, deployments, measures, start=start, end=start + minutes * MINUTE
        )

    def prepare(self) -> "Bench":
        self.workspaces.create_endpoint(WORKSPACE, "ep-1", auth_mode="aad_token", tags={})
        self.settle()
        model = f"{WORKSPACE.id}/models/churn/versions/1"
        spec = DeploymentSpec(model_id=model, instance_type="Standard_DS3_v2", instance_count=1)
        for name in ("blue", "green"):
            self.workspaces.create_deployment(WORKSPACE, "ep-1", name, spec)
            self.settle()
        return self


def _twin(clock: Any) -> Bench:
    workspaces = MemoryWorkspaces(clock)
    metrics = MemoryMetrics(clock, workspaces)
    metrics.rate = RATE
    behaviours = {
        "fails": MetricsBehaviour(error_rate=1.0),
        "slow": MetricsBehaviour(latency_ms=500.0),
    }

    def serve(minutes: int) -> datetime:
        metrics.observe()
        start: datetime = clock.now()
        clock.pass_time(minutes * MINUTE)
        return start

    def delay(minutes: int) -> None:
        metrics.lag = minutes * MINUTE

    def end() -> None:
        metrics.unavailable = WorkspaceUnreachable("no answer")

    return Bench(
        metrics=metrics,
        workspaces=workspaces,
        settle=lambda: clock.pass_time(MINUTE),
        behave=lambda name, how: metrics.behave(name, behaviours[how]),
        serve=serve,
        wait=lambda minutes: clock.pass_time(minutes * MINUTE),
        delay=delay,
        end=end,
    ).prepare()


class Caller:
    """Sends scoring requests through the emulator, minute by minute of its time."""

    def __init__(self, emulator: WorkspaceEmulator, control: Control, http: httpx.Client) -> None:
        self._emulator = emulator
        self._control = control
        self._http = http

    def now(self) -> datetime:
        answer = httpx.get(f"{self._emulator.control_url}/control/clock").json()
        return datetime.fromisoformat(answer["now"]).astimezone(UTC)

    def begin_minute(self) -> datetime:
        """Let time pass until just after the next minute has begun."""
        begun = self.now().replace(second=0, microsecond=0) + MINUTE
        # Far enough into it that the next request is not in the one before.
        self._control.advance((begun - self.now()).total_seconds() + 0.01)
        return begun

    def serve(self, uri: str, minutes: int) -> datetime:
        begun = []
        for _ in range(minutes):
            begun.append(self.begin_minute())
            for _ in range(RATE):
                self._http.post(uri, json={"input_data": [[1, 2]]})
        self.begin_minute()
        return begun[0]


@contextmanager
def _service(request: pytest.FixtureRequest) -> Iterator[Bench]:
    emulator = request.getfixturevalue("emulator")
    control = request.getfixturevalue("control")
    workspaces: ArmWorkspaces = request.getfixturevalue("workspaces")
    flavors = {"python_function": {"data": {}}}
    request.getfixturevalue("somebody").put(
        "/models/churn/versions/1",
        {"modelType": "mlflow_model", "modelUri": "azureml://m", "flavors": flavors},
    )
    trust = ssl.create_default_context(cafile=str(emulator.ca_path))
    token = issue_token("https://ml.azure.com", "tenant", "client")
    behaviours: dict[str, Any] = {"fails": {"error_rate": 1.0}, "slow": {"latency": 0.1}}
    with httpx.Client(verify=trust, headers={"Authorization": f"Bearer {token}"}) as http:
        caller = Caller(emulator, control, http)

        def serve(minutes: int) -> datetime:
            endpoint = workspaces.get_endpoint(WORKSPACE, "ep-1")
            assert endpoint is not None
            return caller.serve(endpoint.scoring_uri, minutes)

        yield Bench(
            metrics=AzureMonitorMetrics(workspaces.aml.arm, grain=MINUTE),
            workspaces=workspaces,
            settle=lambda: control.advance(3600),
            behave=lambda name, how: control.scoring(deployment=name, **behaviours[how]),
            serve=serve,
            wait=lambda minutes: control.advance(minutes * 60),
            delay=lambda minutes: control.metrics(lag=minutes * 60),
            end=lambda: control.metrics(unavailable=True),
        ).prepare()


@pytest.fixture(params=["memory", "emulator"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield _twin(request.getfixturevalue("clock"))
        return
    with _service(request) as service:
        yield service


def by_minute(readings: Readings, value: Callable[[Minute], float]) -> dict[str, list[float]]:
    return {name: [value(minute) for minute in told] for name, told in readings.minutes.items()}


def test_requests_are_counted_by_deployment_and_minute(bench: Bench) -> None:
    bench.split(blue=50, green=50)
    start = bench.serve(2)
    readings = bench.read(start, Measure.REQUESTS)
    assert (readings.start, readings.end, readings.grain) == (start, start + 2 * MINUTE, MINUTE)
    requests = by_minute(readings, lambda minute: minute.requests)
    assert all(count > 0 for counts in requests.values() for count in counts)
    assert [sum(pair) for pair in zip(*requests.values(), strict=True)] == [RATE, RATE]
    for told in readings.minutes.values():
        assert [minute.at for minute in told] == [start, start + MINUTE]
        assert all(minute.errors == 0 and not minute.values for minute in told)
    assert readings.queries
    assert all(query.startswith("/subscriptions/sub-1/") for query in readings.queries)


def test_the_split_is_that_of_the_time(bench: Bench) -> None:
    bench.split(blue=100)
    before = bench.serve(1)
    bench.split(green=100)
    after = bench.serve(1)
    told = bench.read(before, minutes=1).minutes
    assert (len(told["blue"]), told["green"]) == (1, ())
    told = bench.read(after, minutes=1).minutes
    assert (told["blue"], len(told["green"])) == ((), 1)


def test_the_errors_of_one_are_not_those_of_the_other(bench: Bench) -> None:
    bench.behave("green", "fails")
    bench.split(blue=50, green=50)
    readings = bench.read(bench.serve(2), Measure.ERROR_RATE)
    rates = by_minute(readings, lambda minute: minute.errors / minute.requests)
    assert rates == {"blue": [0.0, 0.0], "green": [1.0, 1.0]}


def test_mirrored_requests_are_counted_where_they_are_mirrored_to(bench: Bench) -> None:
    bench.split(blue=100, mirror={"green": 50})
    told = bench.read(bench.serve(1), minutes=1).minutes
    assert [minute.requests for minute in told["blue"]] == [RATE]
    assert 0 < told["green"][0].requests < RATE


def test_the_latencies_that_are_measured_are_told(bench: Bench) -> None:
    bench.behave("green", "slow")
    bench.split(blue=50, green=50)
    wanted = {
        Measure.LATENCY,
        Measure.LATENCY_P50,
        Measure.LATENCY_P90,
        Measure.LATENCY_P95,
        Measure.LATENCY_P99,
    }
    readings = bench.read(bench.serve(1), *wanted, minutes=1)
    (blue,), (green,) = readings.minutes["blue"], readings.minutes["green"]
    assert set(blue.values) == set(green.values) == wanted
    assert all(blue.values[measure] < green.values[measure] for measure in wanted)
    readings = bench.read(readings.start, Measure.LATENCY_P95, minutes=1)
    assert set(readings.minutes["green"][0].values) == {Measure.LATENCY_P95}


def test_cpu_and_memory_are_told_of_each_deployment(bench: Bench) -> None:
    bench.split(blue=50, green=50)
    readings = bench.read(bench.serve(1), Measure.CPU, Measure.MEMORY, minutes=1)
    for (minute,) in readings.minutes.values():
        assert set(minute.values) == {Measure.CPU, Measure.MEMORY}
        assert all(0 < percent < 100 for percent in minute.values.values())


def test_metrics_are_late(bench: Bench) -> None:
    bench.delay(3)
    bench.split(blue=100)
    start = bench.serve(1)
    assert bench.read(start, minutes=1).minutes["blue"] == ()
    bench.wait(3)
    (minute,) = bench.read(start, minutes=1).minutes["blue"]
    assert minute.requests == RATE


def test_a_deployment_that_gets_nothing_has_no_minutes(bench: Bench) -> None:
    bench.split(blue=100)
    told = bench.read(bench.serve(1), Measure.LATENCY_P95, minutes=1).minutes
    assert (len(told["blue"]), told["green"]) == (1, ())


def test_names_are_those_that_were_asked_for(bench: Bench) -> None:
    bench.split(blue=100)
    told = bench.read(bench.serve(1), minutes=1, deployments=["BLUE"]).minutes
    assert [minute.requests for minute in told["BLUE"]] == [RATE]


def test_what_never_was_has_no_minutes_or_is_refused(bench: Bench) -> None:
    bench.split(blue=100)
    start = bench.serve(1)
    assert bench.read(start, minutes=1, deployments=["gone"]).minutes == {"gone": ()}
    with pytest.raises(WorkspaceRefused):
        bench.read(start, Measure.CPU, minutes=1, deployments=["gone"])
    with pytest.raises(WorkspaceRefused):
        bench.read(start, minutes=1, endpoint="gone")


def test_metrics_that_can_not_be_read_are_not_metrics_without_data(bench: Bench) -> None:
    bench.end()
    with pytest.raises(WorkspaceUnreachable):
        bench.read(datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_story_has_the_same_figures_however_often_it_is_read(clock: Any) -> None:
    bench = _twin(clock)
    bench.split(blue=75, green=25)
    start = bench.serve(3)
    first = bench.read(start, *Measure, minutes=3)
    clock.pass_time(timedelta(days=1))
    bench.split(green=100)
    assert bench.read(start, *Measure, minutes=3) == first


def test_a_stand_in_has_metrics_by_the_second(request: pytest.FixtureRequest) -> None:
    with _service(request) as bench:
        arm = request.getfixturevalue("workspaces").aml.arm
        by_second = AzureMonitorMetrics(arm, grain=timedelta(seconds=1))
        bench.split(blue=100)
        start = bench.serve(1)
        readings = by_second.read(
            WORKSPACE, "ep-1", ["blue"], [Measure.REQUESTS], start=start, end=start + MINUTE
        )
        assert sum(minute.requests for minute in readings.minutes["blue"]) == RATE
        assert all(minute.at - start < MINUTE for minute in readings.minutes["blue"])
