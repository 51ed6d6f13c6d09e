"""Reports of a run: their words, and the steps that they name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import thread_time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.events.model import Run, Workspace
from shared.workspaces.model import RunRecord
from shared.workspaces.run_reports import RunReport, describe, first_lines, is_good

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WORKSPACE = Workspace(subscription="sub", resource_group="rg", name="ws")
STUDIO = "https://ml.azure.com"
SENTENCE = "Pipeline has some failed steps. See child run or execution logs for more details."
EVENT = Run(id="run-1", root_id="run-1", status="Failed", experiment_name="churn")


def record(run_id: str = "run-1", **values: Any) -> RunRecord:
    """Return a run that failed after 12 minutes and 5 seconds."""
    known: dict[str, Any] = {
        "status": "Failed",
        "root_id": "run-1",
        "started_at": NOON,
        "ended_at": NOON + timedelta(minutes=12, seconds=5),
    }
    return RunRecord(id=run_id, **{**known, **values})


def told(report: RunReport, event: Run = EVENT) -> list[str]:
    """Return the lines of a report."""
    return describe(report, event, WORKSPACE, studio=STUDIO).splitlines()


def test_a_failed_command_is_told_with_its_error_and_a_link() -> None:
    run = record(display_name="sad_fig", error_code="UserError", error="ValueError: no column age")
    assert told(RunReport(run=run)) == [
        "Status: Failed",
        "Name: sad_fig",
        "Experiment: churn",
        "Duration: 12m 5s",
        "Error: UserError: ValueError: no column age",
        "https://ml.azure.com/runs/run-1?wsid=/subscriptions/sub/resourcegroups/rg/workspaces/ws",
    ]


def test_a_pipeline_is_told_with_the_step_that_failed_and_the_step_s_error() -> None:
    step = record("step-1", step="train", error_code="UserError", error="out of memory")
    lines = told(RunReport(run=record(error=SENTENCE), path=(step,), failed=30))
    assert "Step: train (the first of 30 that failed)" in lines
    assert "Error: UserError: out of memory" in lines
    assert SENTENCE not in "\n".join(lines)


def test_a_step_below_a_step_is_told_with_its_way() -> None:
    path = (record("c-1", display_name="signal"), record("c-2", step="evaluate", error="no data"))
    lines = told(RunReport(run=record(error=SENTENCE), path=path, failed=1))
    assert lines[3:5] == ["Step: signal / evaluate", "Error: no data"]


def test_the_deepest_error_that_there_is_is_told() -> None:
    path = (record("c-1", step="outer", error="it is me"), record("c-2", step="inner"))
    lines = told(RunReport(run=record(), path=path, failed=1))
    assert lines[3:5] == ["Step: outer / inner", "Error: it is me"]


def test_a_pipeline_s_own_error_that_says_more_is_told_too() -> None:
    path = (record("c-1", step="train", error="killed"),)
    lines = told(RunReport(run=record(error="Budget of the sweep was used up"), path=path))
    assert lines[3:6] == ["Error: Budget of the sweep was used up", "Step: train", "Error: killed"]


def test_a_run_that_is_a_step_is_told_as_one_and_linked_to_its_root() -> None:
    step = record("step-1", root_id="root-1", step="train", error="killed")
    lines = told(RunReport(run=step), replace(EVENT, id="step-1", root_id="root-1"))
    assert lines[3:5] == ["Step: train", "Error: killed"]
    assert lines[-1].startswith("https://ml.azure.com/runs/root-1?")


def test_a_run_that_cannot_be_read_is_told_from_its_event_and_says_so() -> None:
    report = RunReport(gap="workspace.denied: no role, token=abcdef")
    assert told(report) == [
        "Status: Failed",
        "Experiment: churn",
        "The run could not be read: workspace.denied: no role, token=[redacted]",
        "https://ml.azure.com/runs/run-1?wsid=/subscriptions/sub/resourcegroups/rg/workspaces/ws",
    ]


def test_a_run_whose_steps_cannot_be_read_is_told_as_far_as_it_can() -> None:
    lines = told(RunReport(run=record(error="x"), gap="the workspace is away"))
    assert "Error: x" in lines
    assert "Part of the run could not be read: the workspace is away" in lines


@pytest.mark.parametrize(
    ("started", "ended", "line"),
    [
        (0, 5, "Duration: 5s"),
        (0, 65, "Duration: 1m 5s"),
        (0, 3600, "Duration: 1h"),
        (0, 100 * 3600 + 59, "Duration: 4d 4h"),
        (0, 0, "Duration: 0s"),
        (None, 5, "Duration: it never started"),
        (0, None, None),
        (None, None, None),
        (5, 0, None),
    ],
)
def test_the_duration_of_a_run_is_told(
    started: int | None, ended: int | None, line: str | None
) -> None:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOON + timedelta(seconds=seconds)

    lines = told(RunReport(run=record(started_at=at(started), ended_at=at(ended))))
    assert [text for text in lines if text.startswith("Duration")] == ([line] if line else [])


@pytest.mark.parametrize(
    ("in_history", "in_event", "status", "good"),
    [
        ("Completed", "Completed", "Completed", True),
        ("Failed", "Failed", "Failed", False),
        ("Running", "Failed", "Failed", False),
        ("Failed", "Running", "Failed", False),
        ("Canceled", "Canceled", "Canceled", None),
        ("Running", "", "Running", None),
        ("", "", "unknown", None),
    ],
)
def test_how_a_run_ended_is_what_run_history_says_unless_it_is_behind(
    in_history: str, in_event: str, status: str, good: bool | None
) -> None:
    report, event = RunReport(run=record(status=in_history)), replace(EVENT, status=in_event)
    assert told(report, event)[0] == f"Status: {status}"
    assert is_good(report, event) is good


def test_run_history_that_knows_only_the_experiment_s_id_is_not_believed() -> None:
    report = RunReport(run=record(experiment="8bf2-1"))
    assert "Experiment: churn" in told(report)
    assert "Experiment: 8bf2-1" in told(report, replace(EVENT, experiment_name=""))


def test_of_a_long_error_the_first_lines_and_the_last_are_told() -> None:
    error = "\n\n".join(f"line {number}  " for number in range(40))
    lines = first_lines(error).splitlines()
    assert lines == [*(f"line {n}" for n in range(8)), "…", "line 38", "line 39"]


def test_a_longer_line_is_cut() -> None:
    assert len(first_lines("é" * 5000)) == 1000


def test_of_an_error_too_long_to_be_read_no_end_is_told() -> None:
    error = "\n".join(["line"] * 9 + ["x" * 500] * 100)
    assert first_lines(error).splitlines() == ["line"] * 8 + ["…"]


def test_an_error_is_told_without_its_secrets() -> None:
    error = "can't open https://u:hunter2@host/x?sig=abc%2B\nAccountKey=verysecret==\nTraceback"
    lines = told(RunReport(run=record(error=error, error_code="Authorization: Bearer abcdefgh")))
    text = "\n".join(lines)
    for secret in ("hunter2", "abc%2B", "verysecret", "abcdefgh"):
        assert secret not in text
    assert "Traceback" in text


def test_names_stay_on_their_line_and_the_link_in_its_place() -> None:
    run = record(display_name="a\nStatus: Completed", root_id="r/../x?y=z&w#\n")
    lines = told(RunReport(run=run))
    assert lines[1] == "Name: a Status: Completed"
    assert lines[-1].startswith("https://ml.azure.com/runs/r%2F..%2Fx%3Fy%3Dz%26w%23%0A?wsid=/")


hostile = st.text(max_size=300) | st.sampled_from(["a-" * 1500, "step fail " * 300, "\n" * 1500])


@example(texts=["\U0001f600" * 300] * 8, depth=4)
@given(texts=st.lists(hostile, min_size=8, max_size=8), depth=st.integers(0, 4))
def test_a_report_of_anything_is_short_and_quick(texts: list[str], depth: int) -> None:
    one, two, three, four, five, six, seven, eight = texts
    run = record(error=one, error_code=two, display_name=three, experiment=four, root_id=five)
    step = record("s", error=six, error_code=seven, step=eight)
    report = RunReport(run=run, path=(step,) * depth, failed=depth, gap=one)
    began = thread_time()
    text = describe(report, EVENT, WORKSPACE, studio=STUDIO)
    assert thread_time() - began < 2
    lines, _, link = text.rpartition("\n")
    assert len(lines) < 4000
    assert len(link) < 4000, "each character of an id may be twelve in an address"
    assert text.startswith("Status: Failed\n")
    assert "\x00" not in text
