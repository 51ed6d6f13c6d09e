"""The tools that the benches measure with; `make soak` runs the benches (tests/bench)."""

import pytest

from bench import cold_start
from bench.__main__ import main
from bench.figure import BenchFailed, Figure
from bench.imports import parse_import_times

NOTIFIED = {"shared.flow.react": 50.0, "azure.data.tables": 40.0, "apprise": 30.0}


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["warm_start"])
    assert "warm_start" in capsys.readouterr().err


def test_the_ratio_says_how_many_times_the_floor_it_costs() -> None:
    seconds = Figure(name="cold_start", value=3.0, unit="s", floor=1.5)
    rate = Figure(name="events_matched_per_s", value=50.0, unit="events/s", floor=100.0)
    assert seconds.ratio == rate.ratio == 2.0


def test_a_cold_start_that_imports_the_ml_sdk_or_what_only_drift_needs_is_no_figure() -> None:
    cold_start.check_imports(NOTIFIED)
    for name in (
        "azure.ai.ml",
        "azure.ai.ml.entities",
        "shared.retraining",
        "shared.retraining.model",
    ):
        with pytest.raises(BenchFailed, match=name):
            cold_start.check_imports({**NOTIFIED, name: 2000.0})


def test_imports_that_were_not_seen_prove_nothing() -> None:
    with pytest.raises(BenchFailed, match="apprise"):
        cold_start.check_imports({"shared.flow.react": 50.0, "azure.data.tables": 40.0})


def test_python_s_own_list_of_imports_is_read() -> None:
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       100 |       2500 |   shared.flow.react",
        "2026-11-21 03:02:58,462 WARNING root: import time: | was | long",
    ]
    assert parse_import_times(lines) == {"shared.flow.react": 0.1}
