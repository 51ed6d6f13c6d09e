"""The events that runs of model monitors raise in the emulator, as the app reads them."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.workspace.control import Control
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import DriftDetected, DriftSource, DriftState
from tests.contract.conftest import WORKSPACE

BREACH, RECOVERED, BROKEN = DriftState.BREACH, DriftState.RECOVERED, DriftState.BROKEN


def row(name: str, value: float, threshold: float, group: str = "age") -> dict[str, object]:
    """A metric as a monitor writes it."""
    return {
        "metric_name": name,
        "metric_value": value,
        "threshold_value": threshold,
        "group": group,
    }


DRIFTED, CALM = row("psi", 0.3, 0.2), row("psi", 0.1, 0.2, "it's")


def drifts_of(control: Control) -> Iterator[DriftDetected]:
    """Every drift of which an event tells, doubles included, in their order."""
    for entry in control.events():
        for event in parse_events(parse_envelope(entry["event"])):
            if isinstance(event, DriftDetected):
                yield event


def found_by(control: Control, signals: dict[str, Any], **options: Any) -> list[DriftDetected]:
    """Return the events of a monitor's run, each once."""
    control.monitor_run("churn-monitor", signals=signals, **options)
    control.advance(3600)
    return list({event.key: event for event in drifts_of(control)}.values())


@pytest.mark.parametrize(
    ("signals", "options", "told"),
    [
        ({"drift": [DRIFTED, CALM]}, {}, {("drift", BREACH)}),
        ({"drift": [CALM]}, {}, {("", RECOVERED)}),
        (
            {"drift": [DRIFTED], "quality": [CALM], "other": [CALM]},
            {"repeat_events": 3},
            {("drift", BREACH), ("", RECOVERED)},
        ),
        ({"drift": [DRIFTED]}, {"fail_on_breach": True}, {("drift", BREACH), ("drift", BROKEN)}),
        ({"drift": [DRIFTED]}, {"emails": ["a@example.com"]}, {("drift", BREACH)}),
        ({"drift": "no data"}, {}, {("", BROKEN)}),
        ({"drift": {"error": "out of memory"}}, {}, {("", BROKEN), ("drift", BROKEN)}),
        ({"perf": [row("Accuracy", 0.95, 0.9)]}, {}, {("perf", RECOVERED)}),
        ({"perf": [row("Accuracy", 0.5, 0.9)]}, {}, {("", RECOVERED)}),
        ({"fit": [row("PearsonsChiSquaredTest", 0.01, 0.05)]}, {}, {("fit", BREACH)}),
    ],
    ids=[
        *("a-breach", "none", "several-signals", "fails-on-breach", "mails", "no-data", "an-error"),
        *("an-unnamed-side", "another-side", "a-p-value"),
    ],
)
def test_what_a_monitor_found_is_told(
    control: Control,
    signals: dict[str, Any],
    options: dict[str, Any],
    told: set[tuple[str, DriftState]],
) -> None:
    events = found_by(control, signals, **options)
    assert {(event.drift.signal, event.drift.state) for event in events} == told
    assert {event.workspace.key for event in events} == {WORKSPACE.key}
    assert {event.drift.source for event in events} == {DriftSource.MODEL_MONITOR}
    assert {event.drift.monitor for event in events} == {"churn-monitor"}


def test_every_signal_of_a_run_is_of_one_window(control: Control) -> None:
    events = found_by(control, {"a": [DRIFTED], "b": [DRIFTED], "c": [CALM]})
    assert len(events) == 3
    assert len({event.drift.window for event in events}) == 1


def test_a_breach_names_what_breaches(control: Control) -> None:
    (event,) = found_by(control, {"drift": [DRIFTED, CALM, row("jsd", 0.4, 0.1, 'a "b" c')]})
    assert event.drift.features == ("age", 'a "b" c')
    assert [metric.effect for metric in event.drift.metrics] == [
        *(pytest.approx(0.5), pytest.approx(3.0))
    ]


def test_a_dataset_monitor_s_drift_is_told(control: Control) -> None:
    control.dataset_drift("churn-drift", coefficient=0.83)
    (event,) = drifts_of(control)
    assert (event.drift.monitor, event.drift.state) == ("churn-drift", BREACH)
    assert [metric.value for metric in event.drift.metrics] == [0.83]
