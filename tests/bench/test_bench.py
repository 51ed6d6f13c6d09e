"""Every bench runs, in a small size, and prints each of its figures; no speed is tested."""

import json
from types import ModuleType

import pytest

from bench import (
    arm_requests,
    cold_start,
    drift,
    gates,
    memory,
    storage_requests,
    throughput,
    waiting,
)
from bench.__main__ import main

BENCHES = [arm_requests, cold_start, drift, gates, memory, storage_requests, throughput, waiting]


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.__name__)
def test_a_bench_prints_a_line_for_each_of_its_figures(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--tiny", bench.__name__.removeprefix("bench.")]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == list(bench.FIGURES)
    for line in lines:
        assert list(line) == ["name", "value", "unit", "floor", "ratio"]
        assert line["unit"] in ("s", "events/s", "requests", "replays", "MiB", "bytes", "min", "%")
        assert all(line[number] > 0 for number in ("value", "floor", "ratio"))


def test_one_figure_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "storage_requests_per_event_matched"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["name"] == "storage_requests_per_event_matched"
