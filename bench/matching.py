"""match_…_reactions, backtest_…: what rules cost for one event, and for 100,000 past ones.

`match_N_reactions` is the time of `match` for one event and a file of N reactions, half of them on
events of its type, of which one is set off. Floor: the same answers of the same conditions, written
in Python by hand, over the event's data, which is made once.

`backtest_100000_events` is a whole backtest of so many records, which another file of 20 reactions
is compared with, half of them changed; the table is made up as it is read. Floor: the time that
Python's json needs for the records' two texts. `backtest_memory_mb` is what the process has grown
by in the last nine tenths. Floor: one MiB, for a program that keeps nothing but counts.
"""

import json
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.events import model_registered
from bench.figure import BenchFailed, Figure
from commands.backtest import run_backtest
from shared.actions import ACTIONS
from shared.base.ports import Row
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Event, Workspace, as_data
from shared.journal.records import Records
from shared.reactions.backtest import Backtest
from shared.reactions.load import load_reactions
from shared.reactions.match import Matched, match
from shared.reactions.model import Reactions
from shared.services import Ports, Services
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryBlobs, MemoryTables

SIZES = (10, 100, 1000)
FIGURES = (
    *(f"match_{size}_reactions" for size in SIZES),
    "backtest_100000_events",
    "backtest_memory_mb",
)
TINY = {"events": 200, "rounds": 1}

WORKSPACE = Workspace(subscription="s", resource_group="rg", name="main")
_EVENTS = 100_000
_DAYS = 30
_END = datetime(2026, 3, 1, tzinfo=UTC)
_MIB = 1024


def measure(*, events: int = _EVENTS, rounds: int = 200) -> Iterator[Figure]:
    """Match one event by three files, and take a backtest of many."""
    event = _event(model_registered(WORKSPACE.id, "m0", "1", at=_END))
    for size in SIZES:
        reactions = _rules(size)
        by_hand = [_by_hand(number) for number in range(0, size, 2)]
        _require_same(match(reactions, event), by_hand, event)
        value = _fastest(lambda: match(reactions, event), rounds)  # noqa: B023
        floor = _fastest(lambda: _hand_match(by_hand, event), rounds)  # noqa: B023
        yield Figure(
            name=f"match_{size}_reactions", value=value * 1000, unit="ms", floor=floor * 1000
        )
    yield from _backtest(events)


def _event(raw: Mapping[str, Any]) -> Event:
    (event,) = parse_events(parse_envelope(raw))
    assert isinstance(event, Event)
    return event


def _rules(size: int, *, changed: int = 0) -> Reactions:
    """Return a file of so many reactions; the first `changed` have another condition and values."""
    text = f"version: 1\nworkspaces: [{WORKSPACE.id}]\nchannels: [team]\nreactions:\n"
    for number in range(size):
        kind = "RunCompleted" if number % 2 else "ModelRegistered"
        name, thing = ("run.id", "run") if number % 2 else ("model.name", "model")
        more = f" && {thing}.tags.stage != 'dev'" if number < changed else ""
        title = "now" if number < changed else "new"
        text += (
            f"  - name: r{number}\n    on: {kind}\n"
            f"    when: is_true({thing}.tags.deploy) && {name} == 'm{number}'{more}\n"
            f"    do: [notify: {{channel: team, title: '${{{{ {name} }}}} is {title}'}}]\n"
        )
    return load_reactions(text, actions=ACTIONS, settings={})


def _by_hand(number: int) -> Callable[[Mapping[str, Any]], bool]:
    def holds(data: Mapping[str, Any]) -> bool:
        model = data["model"]
        return model["tags"].get("deploy", "").lower() in ("true", "yes", "y", "on", "1") and (
            model["name"] == f"m{number}"
        )

    return holds


def _hand_match(conditions: list[Callable[[Mapping[str, Any]], bool]], event: Event) -> list[bool]:
    data = as_data(event)
    return [condition(data) for condition in conditions]


def _require_same(
    found: Any, by_hand: list[Callable[[Mapping[str, Any]], bool]], event: Event
) -> None:
    if [isinstance(item, Matched) for item in found] != _hand_match(by_hand, event):
        raise BenchFailed("the floor has another answer than the app")


def _fastest(work: Callable[[], Any], rounds: int) -> float:
    """Return the least seconds that one call took."""
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


class _MadeUp(MemoryTables):
    """A table of records that are made up as they are read, the newest first."""

    def __init__(self, rows: Mapping[str, Row], events: int) -> None:
        super().__init__()
        self.rows, self.each = rows, events // _DAYS
        self.peak_early = 0

    def query(self, table: str, **conditions: Any) -> Iterator[Row]:
        """Yield the day's rows, of which some match."""
        day = conditions["partition"]
        at = datetime.fromisoformat(f"{day}T00:00:00+00:00")
        if at >= _END or at < _END - timedelta(days=_DAYS):
            return
        if at == _END - timedelta(days=_DAYS // 10):
            self.peak_early = _peak()
        samples = list(self.rows.values())
        for number in range(self.each):
            row = samples[number % len(samples)]
            values = {**row.values, "id": f"e{number}", "time": at + timedelta(seconds=number)}
            yield Row(partition=day, key=f"{number:08d}-k", values=values, etag="x")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _sample_rows() -> dict[str, Row]:
    """Return the rows of 40 models, as the app keeps them."""
    from shared.journal.outcomes import Outcome, OutcomeStatus, ref_of

    tables = MemoryTables()
    records = Records(tables=tables, blobs=MemoryBlobs(), clock=ManualClock(_END))
    for number in range(40):
        raw = model_registered(WORKSPACE.id, f"m{number}", "1", at=_END)
        is_set_off = number % 2 == 0 and number < 20
        name = f"r{number}/notify" if is_set_off else "r0/*"
        status = OutcomeStatus.DONE if is_set_off else OutcomeStatus.SKIPPED
        news = {name: Outcome(status=status, detail="`model.name == 'm0'` is false")}
        records.add(ref_of(_event(raw)), news, delivery=True, body=json.dumps(raw))
    return {row.key: row for row in tables.query("SignalboxEvents")}


def _backtest(events: int) -> Iterator[Figure]:
    rows = _sample_rows()
    tables = _MadeUp(rows, events)
    rules, changed = _rules(20), _rules(20, changed=10)
    services = Services({}, Ports(tables=tables, blobs=MemoryBlobs(), clock=ManualClock(_END)))
    test = Backtest(current=rules, new=changed, actions=ACTIONS)
    begun = time.process_time()
    unread = run_backtest(services, test, _END - timedelta(days=_DAYS), _END, lambda _, __: None)
    value = time.process_time() - begun
    if unread or test.events != events // _DAYS * _DAYS:
        raise BenchFailed(f"{test.events} of {events} events were compared; left out: {unread}")
    if not any(found.values.count for found in test.differences):
        raise BenchFailed("no difference was found, though half of the reactions have changed")
    grown = max(_peak() - tables.peak_early, 0) / _MIB
    begun = time.process_time()
    texts = [(str(row.values["body"]), str(row.values["outcomes"])) for row in rows.values()]
    for number in range(test.events):
        for text in texts[number % len(texts)]:
            json.loads(text)
    floor = time.process_time() - begun
    yield Figure(name="backtest_100000_events", value=value, unit="s", floor=floor)
    yield Figure(name="backtest_memory_mb", value=grown, unit="MiB", floor=1.0)
