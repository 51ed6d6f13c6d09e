"""`signalbox backtest`: the events on record through a new rules file, before it is deployed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from xml.etree import ElementTree

import typer

from commands.common import (
    AsJson,
    app_services,
    fail,
    print_json,
    print_lines,
    time_given,
    visible,
    when,
)
from commands.trial import rules_of, settings_beside_app
from shared.base.words import counted, listed, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.reactions.backtest import Backtest, ReactionDifference, Tally
    from shared.services import Services

#: The status where a reaction differs that was not expected to.
EXIT_DIFFERENT = 3
_DETAIL_MAX = 300
#: How often the bar moves, in events.
_PROGRESS_EVERY = 200
#: Facts that decide in the app and that no record has.
CANNOT_KNOW: Final = (
    "limits, cooldowns and `once_per`: each start is shown, also one that they would skip",
    "policies of `retrain`: a window that sets it off is shown, not the answer",
    "values that an action makes from the model or run as the workspace has it then",
    "`allow`, champions, quota and names in the workspace: `signalbox try` asks it",
    "models, tags and runs that come only because the new file did something else",
)


def backtest(
    rules: Annotated[
        Path,
        typer.Option("--rules", metavar="FILE", help="The new rules file.", show_default=False),
    ],
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From then on: 30d, 2h, or a time.")
    ] = "30d",
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="Up to then, in the same forms.")
    ] = "",
    expect: Annotated[
        list[str] | None,
        typer.Option("--expect", metavar="NAME", help="A reaction that may differ."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare new rules with what was done.

    They get the events on record. The exit status is 3 if a reaction differs that is
    not expected to.
    """
    from shared.actions import ACTIONS
    from shared.reactions.backtest import Backtest

    with app_services() as services:
        now = services.clock.now()
        first = time_given(since, now)
        last = time_given(until, now) if until else now
        if first >= last:
            raise fail("--since is not before --until")
        new = rules_of(services, settings_beside_app(), rules)
        test = Backtest(current=services.reactions, new=new, actions=ACTIONS)
        with _progress(first, last, is_quiet=as_json) as show:
            unread = run_backtest(services, test, first, last, show)
    wrong = [it for it in test.differences if it.differs and it.name not in (expect or ())]
    if junit is not None:
        _write_junit(junit, test, expect or [])
    if as_json:
        print_json(_as_data(test, unread, first, last, wrong))
    else:
        print_lines(_told(test, unread, first, last, str(rules)))
    if wrong:
        raise typer.Exit(EXIT_DIFFERENT)


def run_backtest(
    services: "Services",
    test: "Backtest",
    first: datetime,
    last: datetime,
    show: "Callable[[datetime, int], None]",
) -> dict[str, int]:
    """Compare the events of a span; return how many could not be, by the reason.

    Each is forgotten at once. `show` gets the time of the event and their number.
    """
    from shared.base.errors import EventMalformed
    from shared.events.model import Event

    unread: dict[str, int] = {}
    records = services.records
    for number, record in enumerate(records.find(since=first, until=last, bodies=True), start=1):
        if number % _PROGRESS_EVERY == 0:
            show(record.time, number)
        if not record.body and not record.in_blob:
            why = "its body was not kept"
        else:
            try:
                event = records.event_of(record)
            except EventMalformed:
                event = None
            if isinstance(event, Event):
                test.add(event, record.outcomes)
                continue
            why = "no reaction can be for its type" if event else "its body can't be read"
        unread[why] = unread.get(why, 0) + 1
    return unread


@contextmanager
def _progress(
    first: datetime, last: datetime, *, is_quiet: bool
) -> "Iterator[Callable[[datetime, int], None]]":
    """Give what moves the bar: the records come the newest first, so their times tell how far."""
    if is_quiet or not sys.stderr.isatty():
        yield lambda _, __: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[events]} events"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=(last - first).total_seconds(), events="0")
        yield lambda at, number: bar.update(
            task, completed=(last - at).total_seconds(), events=f"{number:,}"
        )


# In words


def _told(
    test: "Backtest", unread: dict[str, int], first: datetime, last: datetime, rules: str
) -> Iterator[str]:
    different = [found for found in test.differences if found.differs]
    span = f"{when(first)} to {when(last)}"
    yield visible(f"{rules}: {counted(test.events, 'event')} from {span}")
    for why, count in unread.items():
        yield f"{counted(count, 'event')} left out: {why}"
    same = [found.name for found in test.differences if not found.differs]
    if not different:
        yield f"no difference: {counted(len(same), 'reaction')} would have done what was done"
    for found in different:
        yield ""
        yield from _told_reaction(found)
    unsure = [found for found in test.differences if found.unsure.count]
    for found in unsure:
        yield ""
        yield f"{found.name}: {counted(found.unsure.count, 'event')} of which nothing can be said"
        yield from _examples(found.unsure)
    if different and same:
        yield ""
        yield visible(f"no difference: {listed(same, 10)}")
    yield ""
    yield "a backtest can't know:"
    for fact in CANNOT_KNOW:
        yield f"  {fact}"


def _told_reaction(found: "ReactionDifference") -> Iterator[str]:
    changed = f"  (differs in the files: {', '.join(found.changed)})" if found.changed else ""
    yield visible(f"{found.name}{changed}")
    yield f"  set off: {found.recorded:,} times on record, {found.by_new:,} by the new file"
    yield from _tally(found.more, "more", found.more_by_current)
    yield from _tally(found.fewer, "fewer", found.fewer_by_current)
    yield from _tally(found.values, "with other values")
    yield from _tally(found.refused, "with values that would be refused")


def _tally(tally: "Tally", what: str, by_current: int = 0) -> Iterator[str]:
    if not tally.count:
        return
    also = f", {by_current:,} of them by the current file as well" if by_current else ""
    yield f"  {tally.count:,} {what}{also}"
    yield from _examples(tally)


def _examples(tally: "Tally") -> Iterator[str]:
    for example in tally.examples:
        detail = f"  {shortened(example.detail, _DETAIL_MAX)}" if example.detail else ""
        yield visible(f"    {when(example.time)}  {example.about}  {example.id[:12]}{detail}")
    if tally.count > len(tally.examples):
        yield f"    and {tally.count - len(tally.examples):,} more"


# For programs


def _as_data(
    test: "Backtest",
    unread: dict[str, int],
    first: datetime,
    last: datetime,
    wrong: "list[ReactionDifference]",
) -> dict[str, Any]:
    return {
        "since": first,
        "until": last,
        "events": test.events,
        "left_out": unread,
        "unexpected": [found.name for found in wrong],
        "reactions": [{**asdict(found), "differs": found.differs} for found in test.differences],
        "cannot_know": list(CANNOT_KNOW),
    }


def _write_junit(path: Path, test: "Backtest", expected: list[str]) -> None:
    """Write a case for each reaction, failed where it differs and is not expected to."""
    found = test.differences
    failed = [it for it in found if it.differs and it.name not in expected]
    suite = ElementTree.Element(
        "testsuite", name="signalbox backtest", tests=str(len(found)), failures=str(len(failed))
    )
    for item in found:
        case = ElementTree.SubElement(suite, "testcase", classname="backtest", name=item.name)
        lines = [visible(line) for line in _told_reaction(item)] if item.differs else []
        if item in failed:
            counts = (item.more.count, item.fewer.count, item.values.count, item.refused.count)
            message = "{} more, {} fewer, {} with other values, {} refused".format(*counts)
            ElementTree.SubElement(case, "failure", message=message).text = "\n".join(lines)
        elif lines:
            ElementTree.SubElement(case, "system-out").text = "\n".join(lines)
    try:
        ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise fail(visible(f"{path} can't be written: {error.strerror}")) from None
