"""The contract of Starts, on tables in memory and on Azure's."""

from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from shared.base.errors import StorageUnavailable
from shared.base.ids import digest
from shared.base.ports import RowChanged, Tables
from shared.journal.starts import STARTS_MAX, TABLE, StartLimit, Starts
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryTables

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
TWO_A_DAY = StartLimit(name="limit", starts=2, per=DAY)
HOURLY = StartLimit(name="cooldown", starts=1, per=HOUR)


class Bench:
    """Starts on tables, with a clock, and a reaction that no other test has."""

    def __init__(self, tables: Tables, clock: ManualClock, name: str) -> None:
        self.tables = tables
        self.clock = clock
        self.reaction = name
        self.starts = Starts(tables=tables, clock=clock)

    def take(self, event: object, *limits: StartLimit, key: str = "") -> str:
        """Return the name of the limit that keeps an event from starting, "" if none does."""
        chosen = limits or (TWO_A_DAY,)
        full = self.starts.take(self.reaction, key, digest(str(event)), chosen)
        return "" if full is None else full.limit.name


@pytest.fixture
def bench(tables: Tables, clock: ManualClock, name: str) -> Bench:
    return Bench(tables, clock, name)


def test_a_limit_holds_for_any_span_of_its_length(bench: Bench) -> None:
    assert [bench.take(event) for event in "abc"] == ["", "", "limit"]
    bench.clock.pass_time(DAY - SECOND)
    assert bench.take("d") == "limit"
    bench.clock.pass_time(SECOND)
    assert [bench.take(event) for event in "def"] == ["", "", "limit"]


def test_the_same_event_takes_one_place_however_often_it_asks(bench: Bench) -> None:
    assert [bench.take(event) for event in "aaab"] == ["", "", "", ""]
    bench.clock.pass_time(HOUR)
    assert [bench.take(event) for event in "abc"] == ["", "", "limit"]


def test_a_refusal_says_when_there_is_a_place_again(bench: Bench) -> None:
    bench.take("a")
    bench.clock.pass_time(HOUR)
    bench.take("b")
    full = bench.starts.take(bench.reaction, "", digest("c"), (TWO_A_DAY,))
    assert full is not None
    assert full.last == bench.clock.now()
    assert full.free_at == bench.clock.now() - HOUR + DAY


def test_each_of_several_limits_holds(bench: Bench) -> None:
    both = (TWO_A_DAY, HOURLY)
    assert [bench.take(event, *both) for event in "ab"] == ["", "cooldown"]
    bench.clock.pass_time(HOUR)
    assert bench.take("b", *both) == ""
    bench.clock.pass_time(HOUR)
    assert bench.take("c", *both) == "limit"


def test_another_key_and_another_reaction_count_apart(bench: Bench, clock: ManualClock) -> None:
    assert bench.take("a", HOURLY, key="one") == ""
    assert bench.take("b", HOURLY, key="one") == "cooldown"
    assert bench.take("b", HOURLY, key="two\n'\u00e9/#?") == ""
    other = Bench(bench.tables, clock, f"{bench.reaction}-2")
    assert other.take("b", HOURLY, key="one") == ""


def test_a_place_that_is_given_back_is_free(bench: Bench) -> None:
    bench.take("a", HOURLY)
    bench.starts.give_back(bench.reaction, "", digest("b"))
    assert bench.take("b", HOURLY) == "cooldown"
    bench.starts.give_back(bench.reaction, "", digest("a"))
    assert bench.take("b", HOURLY) == ""


def test_an_event_that_comes_again_after_a_short_cooldown_is_still_known(bench: Bench) -> None:
    short = StartLimit(name="cooldown", starts=1, per=SECOND)
    assert bench.take("a", short) == ""
    bench.clock.pass_time(timedelta(minutes=7))
    assert [bench.take(event, short) for event in "baab"] == ["", "", "", ""]


def test_of_many_who_start_at_once_as_many_start_as_the_limit_allows(bench: Bench) -> None:
    threads, limit = 6, StartLimit(name="limit", starts=4, per=DAY)
    barrier, found = Barrier(threads), []

    def start(thread: int) -> None:
        barrier.wait()
        for number in range(4):
            while True:  # as a letter does
                try:
                    found.append(bench.take(f"{thread}-{number}", limit))
                    break
                except StorageUnavailable:
                    continue

    running = [Thread(target=start, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(timeout=60)
    assert (found.count(""), found.count("limit")) == (4, 20)


def test_a_full_row_fits_a_column(bench: Bench) -> None:
    most = StartLimit(name="limit", starts=STARTS_MAX, per=DAY)
    names = [digest(str(number)) for number in range(STARTS_MAX)]
    memory = Bench(MemoryTables(), bench.clock, bench.reaction)
    memory.starts.take(memory.reaction, "", names[0], (most,))
    (row,) = memory.tables.query(TABLE)
    name, _, at = str(row.values["starts"]).partition("@")
    assert names[0].startswith(name)
    full = " ".join(f"{each[: len(name)]}@{at}" for each in names)
    bench.tables.insert(TABLE, row.partition, row.key, {**row.values, "starts": full})
    assert bench.take(0, most) == ""
    assert bench.take("one more", most) == "limit"


def test_rows_that_no_limit_looks_at_any_more_are_deleted(bench: Bench) -> None:
    bench.take("a", HOURLY)

    def rows() -> int:
        return len(list(bench.tables.query(TABLE, partition=bench.reaction)))

    for later, left in ((DAY, 1), (DAY + SECOND, 0)):
        for chore in bench.starts.old(bench.clock.now() + later):
            chore()
        assert rows() == left


@pytest.mark.parametrize(
    ("events", "requests"), [("a", 2), ("ab", 2), ("aa", 1), ("abc", 1)], ids=str
)
def test_a_start_takes_two_requests_and_a_refusal_one(
    clock: ManualClock, events: str, requests: int
) -> None:
    bench = Bench(MemoryTables(), clock, "reaction")
    for event in events[:-1]:
        bench.take(event)
    made: list[str] = []
    for method in ("get", "insert", "replace"):
        call = getattr(bench.tables, method)

        def count(*args: Any, call: Any = call, method: str = method, **kwargs: Any) -> Any:
            made.append(method)
            return call(*args, **kwargs)

        setattr(bench.tables, method, count)
    bench.take(events[-1])
    assert len(made) == requests


def test_a_row_that_changes_under_every_try_is_left_to_a_letter(clock: ManualClock) -> None:
    bench = Bench(MemoryTables(), clock, "reaction")
    bench.take("a")

    def changed(*_: Any, **__: Any) -> str:
        raise RowChanged("again")

    bench.tables.replace = changed  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="too many workers"):
        bench.take("b")
