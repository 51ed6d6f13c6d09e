"""The contract of Folds, on tables in memory and on Azure's."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from shared.base.errors import StorageUnavailable
from shared.base.ids import digest
from shared.base.ports import RowChanged, Tables
from shared.events.model import Workspace
from shared.messages.outbox import Outbox
from shared.messages.repeats import TABLE, Folds, Repeat
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryChannels, MemoryTables

HOUR = timedelta(hours=1)
WORKSPACE = Workspace(subscription="sub", resource_group="rg", name="ws")


def do_all(chores: Iterable[Callable[[], None]]) -> None:
    """Do the chores of a sweep that has time enough."""
    for chore in chores:
        chore()


class Bench:
    """Folds on tables, with a channel and a clock, and a key that no other test uses."""

    def __init__(self, tables: Tables, clock: ManualClock, key: str) -> None:
        self.tables = tables
        self.clock = clock
        self.key = key
        self.channels = MemoryChannels()
        self.folds = Folds(tables=tables, outbox=Outbox(channels=self.channels), clock=clock)

    def repeat(self, event: object, **changed: Any) -> Repeat:
        """Return the message of an event."""
        values: dict[str, Any] = {
            "claim": digest(str(event)),
            "workspace": WORKSPACE,
            "reaction": "tell",
            "step": "notify",
            "channel": "team",
            "key": self.key,
            "title": f"run {event} failed",
            "within": HOUR,
        }
        return Repeat(**{**values, **changed})

    def numbers(self, *events: object) -> list[int]:
        """Return where the messages of these events stand."""
        return [self.folds.place(self.repeat(event)).number for event in events]

    def tell(self) -> list[str]:
        """Let an hour and a bit pass, sweep, and return the titles that this told."""
        before = len(self.channels.sent)
        self.clock.pass_time(HOUR + timedelta(seconds=1))
        do_all(self.folds.summaries())
        return [message.title for message in self.channels.sent[before:]]


@pytest.fixture
def bench(tables: Tables, clock: ManualClock, name: str) -> Bench:
    for row in tables.query(TABLE):  # other tests' folds, on the account that they share
        tables.delete(TABLE, row.partition, row.key)
    return Bench(tables, clock, name)


def test_the_first_is_sent_and_the_others_are_counted_and_told_together(bench: Bench) -> None:
    assert bench.numbers("a", "b", "c") == [1, 2, 3]
    assert bench.channels.sent == ()
    assert bench.tell() == ["2 more like: run a failed"]
    text = bench.channels.sent[0].text
    since = "Since 2026-03-02 09:00 UTC"
    assert f"{since} 2 more messages of tell in workspace ws came after the first." in text
    assert bench.key in text
    assert text.endswith("- run b failed\n- run c failed")


def test_a_message_that_is_not_repeated_is_not_told_again(bench: Bench) -> None:
    assert bench.numbers("a") == [1]
    assert bench.tell() == []


def test_the_next_one_after_the_summary_begins_anew(bench: Bench) -> None:
    bench.numbers("a", "b")
    bench.tell()
    assert bench.numbers("c", "d") == [1, 2]
    assert bench.tell() == ["1 more like: run c failed"]
    assert bench.tell() == []


def test_a_repeat_that_comes_before_a_late_summary_is_in_it(bench: Bench) -> None:
    bench.numbers("a", "b")
    bench.clock.pass_time(3 * HOUR)
    assert bench.numbers("c") == [3]
    assert bench.tell() == ["2 more like: run a failed"]


def test_no_summary_of_repeats_is_told_before_the_time_is_over(bench: Bench) -> None:
    bench.numbers("a", "b")
    bench.clock.pass_time(HOUR - timedelta(seconds=1))
    do_all(bench.folds.summaries())
    assert bench.channels.sent == ()


@pytest.mark.parametrize("again", [1, 5])
def test_an_event_that_comes_again_is_not_counted_again(bench: Bench, again: int) -> None:
    bench.numbers("a", "b", "c")
    for _ in range(again):
        assert bench.numbers("a", "b", "c") == [1, 0, 0]
    assert bench.tell() == ["2 more like: run a failed"]


def test_an_event_of_an_earlier_turn_that_comes_again_is_known(bench: Bench) -> None:
    bench.numbers("a", "b")
    bench.tell()
    bench.numbers("c")
    assert bench.numbers("a", "b") == [1, 0], "the first may not have been sent"
    assert bench.tell() == []


@pytest.mark.parametrize("differs", ["reaction", "step", "channel", "key"])
def test_messages_that_differ_in_where_they_come_from_are_no_repeats(
    bench: Bench, differs: str
) -> None:
    bench.numbers("a")
    other = bench.repeat("b", **{differs: f"other-{bench.key}"})
    assert bench.folds.place(other).is_first


def test_a_workspace_does_not_hide_what_happens_in_another_one(bench: Bench) -> None:
    bench.numbers("a", "b")
    for workspace in (replace(WORKSPACE, name="prod"), replace(WORKSPACE, subscription="other")):
        assert bench.folds.place(bench.repeat("c", workspace=workspace)).is_first
    same = replace(WORKSPACE, resource_group="RG")
    assert bench.folds.place(bench.repeat("d", workspace=same)).number == 3


def test_only_the_last_few_titles_are_kept(bench: Bench) -> None:
    bench.numbers(*range(10))
    bench.tell()
    text = bench.channels.sent[0].text
    listed = [line for line in text.splitlines() if line.startswith("- ")]
    assert listed == [f"- run {number} failed" for number in range(5, 10)]
    assert "The last of them:" in text


def test_a_channel_that_is_down_keeps_its_summary_and_holds_up_no_other(bench: Bench) -> None:
    bench.numbers("a", "b")
    for event in ("x", "y"):
        bench.folds.place(bench.repeat(event, channel="other"))
    bench.channels.make_down("team")
    assert bench.tell() == ["1 more like: run x failed"]
    assert bench.numbers("c") == [3], "it is counted into the summary that is still to come"
    bench.channels.make_well("team")
    assert bench.tell() == ["2 more like: run a failed"]
    assert bench.tell() == []


def test_a_channel_that_is_down_is_tried_once_in_a_sweep(bench: Bench) -> None:
    tried: list[str] = []
    send = bench.channels.send

    def count(channel: str, **message: Any) -> None:
        tried.append(channel)
        send(channel, **message)

    bench.channels.send = count  # type: ignore[method-assign, assignment]
    for key in ("one", "two", "three"):
        for event in ("a", "b"):
            bench.folds.place(bench.repeat(f"{key}-{event}", key=f"{key}-{bench.key}"))
    bench.channels.make_down("team")
    bench.tell()
    assert tried == ["team"]


def test_a_repeat_that_comes_while_the_summary_is_sent_is_told_by_the_next_sweep(
    bench: Bench,
) -> None:
    bench.numbers("a", "b", "c")
    send = bench.channels.send

    def send_slowly(channel: str, **message: Any) -> None:
        bench.channels.send = send  # type: ignore[method-assign]
        assert bench.numbers("d") == [4]
        send(channel, **message)

    bench.channels.send = send_slowly  # type: ignore[method-assign, assignment]
    assert bench.tell() == ["2 more like: run a failed"]
    do_all(bench.folds.summaries())
    assert bench.channels.sent[-1].title == "1 more like: run a failed"
    assert bench.channels.sent[-1].text.endswith("They are:\n- run d failed")


def test_two_sweeps_at_once_take_no_count_off_twice(bench: Bench) -> None:
    bench.numbers("a", "b", "c")
    send = bench.channels.send

    def sweep_too(channel: str, **message: Any) -> None:
        bench.channels.send = send  # type: ignore[method-assign]
        do_all(bench.folds.summaries())
        assert bench.numbers("d", "e") == [1, 2]
        send(channel, **message)

    bench.channels.send = sweep_too  # type: ignore[method-assign, assignment]
    assert bench.tell() == ["2 more like: run a failed"] * 2
    assert bench.tell() == ["1 more like: run d failed"]


def test_a_message_that_is_not_sent_after_all_lets_the_next_one_through(bench: Bench) -> None:
    bench.numbers("a")
    bench.folds.withdraw(bench.repeat("a"))
    assert bench.numbers("b") == [1]
    bench.folds.withdraw(bench.repeat("a"))
    assert bench.numbers("c") == [2], "only who opened the fold can end it"


def test_what_was_counted_in_a_withdrawn_fold_is_told_by_the_next_sweep(bench: Bench) -> None:
    bench.numbers("a", "b")
    bench.folds.withdraw(bench.repeat("a"))
    bench.clock.pass_time(timedelta(seconds=1))
    do_all(bench.folds.summaries())
    assert [message.title for message in bench.channels.sent] == ["1 more like: run a failed"]


def test_folds_that_ended_long_ago_are_forgotten_told_or_not(bench: Bench) -> None:
    bench.numbers("a", "b")
    do_all(bench.folds.old(bench.clock.now()))
    assert len(bench.folds.all()) == 1
    do_all(bench.folds.old(bench.clock.now() + HOUR + timedelta(seconds=1)))
    assert bench.folds.all() == []


def test_a_fold_that_changes_while_it_is_forgotten_stays(tables: Tables, bench: Bench) -> None:
    bench.numbers("a", "b")
    delete = tables.delete

    def count_first(*args: Any, **kwargs: Any) -> None:
        bench.numbers("c")
        delete(*args, **kwargs)

    tables.delete = count_first  # type: ignore[method-assign]
    do_all(bench.folds.old(bench.clock.now() + 2 * HOUR))
    (fold,) = bench.folds.all()
    assert fold.count == 2


def test_many_who_count_at_once_are_all_counted_once(bench: Bench) -> None:
    threads, each = 6, 8
    barrier, found, lost = Barrier(threads), [], []

    def count(thread: int) -> None:
        barrier.wait()
        for number in range(each):
            try:
                found.extend(bench.numbers(f"{thread}-{number}"))
            except StorageUnavailable:  # its letter tries again
                lost.append(number)

    running = [Thread(target=count, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(timeout=60)
    assert sorted(found) == list(range(1, threads * each - len(lost) + 1))
    assert bench.folds.all()[0].count == len(found) - 1
    assert len(lost) < threads


def test_a_row_that_changes_under_every_try_is_left_to_a_letter(clock: ManualClock) -> None:
    tables = MemoryTables()
    bench = Bench(tables, clock, "key")
    bench.numbers("a")

    def changed(*_: Any, **__: Any) -> str:
        raise RowChanged("again")

    tables.replace = changed  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="too many workers"):
        bench.numbers("b")


def test_a_storm_fits_its_row_and_the_names_of_the_last_thousand_are_known(
    clock: ManualClock,
) -> None:
    bench = Bench(MemoryTables(), clock, "é" * 5000)
    for number in range(1100):
        bench.folds.place(bench.repeat(number, title="ö" * 250))
    (row,) = bench.tables.query(TABLE)
    assert all(len(str(value)) <= 32_000 for value in row.values.values())
    assert bench.folds.place(bench.repeat(1099)).number == 0
    assert bench.folds.place(bench.repeat(101)).number == 0
    (fold,) = bench.folds.all()
    assert fold.count == 1099
    assert len(fold.key) <= 200


def test_a_high_ceiling_fits_its_row(clock: ManualClock) -> None:
    bench = Bench(MemoryTables(), clock, "key")
    for number in range(1500):
        repeat = bench.repeat(number, workspace=None, most=1400)
        assert bench.folds.place(repeat).is_first is (number < 1400)
    (row,) = bench.tables.query(TABLE)
    assert all(len(str(value)) <= 32_000 for value in row.values.values())


def test_a_key_with_a_secret_is_kept_without_it(bench: Bench) -> None:
    for event in ("a", "b"):
        bench.folds.place(bench.repeat(event, key=f"{bench.key} password=hunter2"))
    bench.tell()
    (fold,) = bench.folds.all()
    assert "hunter2" not in fold.key
    assert "hunter2" not in bench.channels.sent[-1].text


def test_titles_are_on_a_line_each(bench: Bench) -> None:
    bench.numbers("a")
    bench.folds.place(bench.repeat("b", title="run b\n- run z failed"))
    bench.tell()
    assert bench.channels.sent[-1].text.endswith("They are:\n- run b - run z failed")


@pytest.mark.parametrize(("events", "requests"), [("a", 2), ("ab", 2), ("abb", 1)])
def test_placing_a_message_takes_two_requests(
    clock: ManualClock, events: str, requests: int
) -> None:
    bench = Bench(MemoryTables(), clock, "key")
    counted: list[str] = []
    for method in ("get", "insert", "replace"):
        call = getattr(bench.tables, method)

        def count(*args: Any, call: Any = call, method: str = method, **kwargs: Any) -> Any:
            counted.append(method)
            return call(*args, **kwargs)

        setattr(bench.tables, method, count)
    bench.numbers(*events[:-1])
    counted.clear()
    bench.numbers(events[-1])
    assert len(counted) == requests
