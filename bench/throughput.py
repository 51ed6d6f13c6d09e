"""events_matched_per_s, events_unmatched_per_s: events through the worker, many at once.

Floor: the bare storage requests that such an event needs, made with the same SDK client, by as
many threads as the worker has, of rows that the app has just written, in turn with the events.
Nothing else is in the floor: no host, no worker, no channel.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import psutil
from azure.core import MatchConditions
from azure.data.tables import TableClient, UpdateMode

from bench.app import Bench, open_bench
from bench.events import Json
from bench.figure import Figure, note
from shared.journal import ledger, records

FIGURES = ("events_unmatched_per_s", "events_matched_per_s")
TINY = {"rounds": 1, "events": 4}

_FUNCTION = "run_status_changed"
_FLOOR_TABLE = "Floor"
#: The statuses of a run that the bench's reactions ignore, and react to.
_UNMATCHED, _MATCHED = "Completed", "Failed"


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that the app wrote for an event: copies make the floor's requests the same size."""

    record: Mapping[str, Any]
    claim: Mapping[str, Any] | None


def measure(*, rounds: int = 5, events: int = 200) -> Iterator[Figure]:
    """Send the events and make the bare requests in turn; the first round only warms up."""
    with open_bench() as bench:
        bench.start()
        bench.tables.create_table(_FLOOR_TABLE)
        for name, status in zip(FIGURES, (_UNMATCHED, _MATCHED), strict=True):
            yield _measure_one(name, bench, status, rounds, events)


def _measure_one(name: str, bench: Bench, status: str, rounds: int, events: int) -> Figure:
    first = bench.runs(status, events)
    bench.send(_FUNCTION, first)
    rows = _written(bench, first[0])
    floor_table = bench.tables.get_table_client(_FLOOR_TABLE)
    _floor(floor_table, rows, events)
    worker = psutil.Process(bench.stack.host.worker_pid)
    ours, floor, cpu = [], [], []
    for _ in range(rounds):
        floor.append(events / _floor(floor_table, rows, events))
        before = sum(worker.cpu_times()[:2])
        sent = bench.runs(status, events)
        ours.append(events / _timed(partial(bench.send, _FUNCTION, sent)))
        cpu.append((sum(worker.cpu_times()[:2]) - before) / events * 1000)
        note(f"{name} {ours[-1]:.0f}, floor {floor[-1]:.0f}, worker's CPU {cpu[-1]:.1f} ms each")
    return Figure(name=name, value=median(ours), unit="events/s", floor=median(floor))


def _written(bench: Bench, event: Json) -> _Rows:
    record = bench.tables.get_table_client(records.TABLE)
    claims = bench.tables.get_table_client(ledger.TABLE).list_entities()
    (row,) = record.query_entities("id eq @id", parameters={"id": event["id"]})
    is_matched = event["data"]["runStatus"] == _MATCHED
    return _Rows(dict(row), dict(next(claims)) if is_matched else None)


def _floor(table: TableClient, rows: _Rows, events: int) -> float:
    """Return the seconds that the bare requests of so many events take."""
    started = perf_counter()

    def requests(number: int) -> None:
        key = f"{started}-{number}"
        if rows.claim is not None:
            claim = {**rows.claim, "PartitionKey": key, "RowKey": "claim"}
            etag = table.create_entity(claim)["etag"]
            table.update_entity(
                claim,
                UpdateMode.REPLACE,
                etag=etag,
                match_condition=MatchConditions.IfNotModified,
            )
        table.create_entity({**rows.record, "PartitionKey": "record", "RowKey": key})

    # As many threads as the worker has: both take Python's default for the machine.
    with ThreadPoolExecutor() as threads:
        return _timed(lambda: list(threads.map(requests, range(events))))


def _timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
