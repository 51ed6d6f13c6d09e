"""Accounts of events as text: what arrived, per reaction why it was set off or not, a timeline."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from rich.text import Text

from commands.common import visible, when
from shared.base.errors import Frozen
from shared.base.words import counted, elapsed
from shared.events.model import Event, UnknownEvent, as_data
from shared.flow.accounts import Account, Entry, ReactionAccount
from shared.flow.searches import Absence, SeenWorkspace
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus
from shared.journal.records import EventRecord
from shared.reactions.explanation import Explanation, Obstacle

_COLOURS: Final = {
    OutcomeStatus.DONE: "green",
    OutcomeStatus.WAITING: "cyan",
    OutcomeStatus.FAILED: "bold red",
    OutcomeStatus.SKIPPED: "dim",
}
#: The worst first: a list shows the first that there is.
_ORDER: Final = (
    OutcomeStatus.FAILED,
    OutcomeStatus.WAITING,
    OutcomeStatus.DONE,
    OutcomeStatus.SKIPPED,
)
_HEADING: Final = "bold"


# An event in a list


def status_of(record: EventRecord) -> str:
    """Return the outcome that says most of an event: a failure before what waits, before done."""
    found = {outcome.status for outcome in record.outcomes.values()}
    return str(next((status for status in _ORDER if status in found), ""))


def summary_of(record: EventRecord) -> str:
    """Return in a line what came of an event: the steps that did something, or why none did."""
    done = {
        name: outcome
        for name, outcome in record.outcomes.items()
        if outcome.status is not OutcomeStatus.SKIPPED
    }
    if done:
        return "; ".join(f"{name} {outcome.status}" for name, outcome in done.items())
    return "; ".join(
        f"{name}: {outcome.detail}" if name != WHOLE else outcome.detail
        for name, outcome in record.outcomes.items()
    )


def title_of(record: EventRecord) -> str:
    """Return an event's type, its subject and its workspace."""
    place = f" in {record.workspace}" if record.workspace else f" from {record.source}"
    return f"{record.type} {record.about or record.id}{place}"


# An event with what came of it


def draw_facts(account: Account) -> Iterator[Text]:
    """Yield the lines about an event itself."""
    record = account.record
    yield Text(visible(title_of(record)), style=_HEADING)
    late = (record.arrived_at or record.time) - record.time
    arrived = f"{when(record.arrived_at)}" if record.arrived_at else ""
    if late > timedelta(minutes=1):
        arrived += f", {elapsed(late)} after it happened"
    found = ""
    if record.found_at:
        found = f"Event Grid never reported it; found by the sweep at {when(record.found_at)}"
    facts = {
        "id": record.id,
        "key": record.event[:12],
        "happened": when(record.time),
        "arrived": arrived if not found else "",
        "found": found,
        "deliveries": str(record.deliveries) if record.deliveries != 1 else "",
        "not read": account.unread,
        "outcome": account.nothing,
        "barred": account.barred if account.barred != account.nothing else "",
    }
    for name, fact in facts.items():
        if fact:
            yield Text(f"  {name + ':':11}  {visible(fact)}")


def draw_reactions(account: Account) -> Iterator[Text]:
    """Yield for each reaction why it was set off or not, and what came of it."""
    others = [one for one in account.reactions if _is_for_others(one)]
    for reaction in account.reactions:
        if reaction not in others:
            yield Text("")
            yield from _reaction(reaction, is_barred=bool(account.barred))
    if others:
        names = ", ".join(visible(one.name) for one in others)
        yield Text("")
        yield Text(f"for other types of event:  {names}", style="dim")
    if isinstance(account.event, UnknownEvent):
        yield Text("")
        yield Text("No reaction can be written for events of this type.")


def _is_for_others(reaction: ReactionAccount) -> bool:
    """Return whether there is no more to say of a reaction than that it is for other events."""
    found = reaction.explanation
    is_other = found is not None and found.obstacle is Obstacle.OTHER_EVENT
    return is_other and not reaction.outcomes and not (found and found.near)


def _reaction(reaction: ReactionAccount, *, is_barred: bool) -> Iterator[Text]:
    found = reaction.explanation
    steps = {step: outcome for step, outcome in reaction.outcomes.items() if step != WHOLE}
    whole = reaction.outcomes.get(WHOLE)
    headline = _headline(found, reaction, is_barred=is_barred)
    yield Text(f"{visible(reaction.name)}: {headline}", style=_HEADING)
    if steps and whole is not None and whole.status is OutcomeStatus.DONE:
        yield _line("why", whole.detail)  # by tags that came later, which the event does not have
    elif found is not None:
        yield from _why(found)
        if whole is not None and whole.detail not in ("", found.why):
            yield _line("then", f"{whole.status}: {_with_code(whole)}")
    if reaction.note:
        yield _line("note", reaction.note)
    for step, outcome in steps.items():
        line = Text(f"  {visible(step)}  ")
        line.append(str(outcome.status), style=_COLOURS[outcome.status])
        detail = _with_code(outcome)
        line.append(f": {visible(detail)}" if detail else "")
        yield line
    yield from map(_entry, reaction.timeline)


def _headline(found: Explanation | None, reaction: ReactionAccount, *, is_barred: bool) -> str:
    was_set_off = bool(reaction.outcomes.keys() - {WHOLE})
    if found is None:
        return "it is gone from the file" if reaction.note else "on record"
    if was_set_off:
        is_other = not found.matches and reaction.note
        return "set off then, and would not be now" if is_other else "set off"
    whole = reaction.outcomes.get(WHOLE)
    if found.matches and whole is not None and whole.code == Frozen.code:
        return "waits for the end of a freeze"
    return "would be set off now" if found.matches and not is_barred else "not set off"


def _why(found: Explanation) -> Iterator[Text]:
    further = f"; {counted(found.further, 'more part')} false too" if found.further else ""
    yield _line("why", f"{found.why}{further}")
    if found.seen and found.obstacle is Obstacle.CONDITION:
        yield _line("saw", ", ".join(found.seen))
    if found.near:
        yield _line("near", found.near)


def _line(name: str, text: str) -> Text:
    return Text(f"  {name:4}  {visible(text)}")


def _entry(entry: Entry) -> Text:
    at = when(entry.at) if entry.at else " " * 20
    return Text(f"  {at}  {visible(entry.what)}")


def _with_code(outcome: Outcome) -> str:
    code = f"{outcome.code}: " if outcome.code and outcome.detail else outcome.code
    return f"{code}{outcome.detail}"


def body_lines(account: Account) -> Iterator[str]:
    """Yield an event as it arrived and as it was read, as JSON."""
    if account.body:
        yield "as it arrived:"
        yield from _json(json.loads(account.body))
    if isinstance(account.event, Event):
        yield "as it was read:"
        yield from _json(as_data(account.event))


def _json(value: Any) -> Iterator[str]:
    """Yield the lines of a document; no character of it can steer a terminal."""
    for line in json.dumps(value, ensure_ascii=True, indent=2).splitlines():
        yield f"  {line}"


def as_document(account: Account) -> dict[str, Any]:
    """Return an account for programs."""
    record = asdict(account.record)
    del record["body"], record["in_blob"]
    return {
        **record,
        "workspace": account.record.workspace,
        "body": json.loads(account.body) if account.body else None,
        "read": as_data(account.event) if isinstance(account.event, Event) else None,
        "unread": account.unread,
        "barred": account.barred,
        "reactions": [_reaction_document(reaction) for reaction in account.reactions],
    }


def _reaction_document(reaction: ReactionAccount) -> dict[str, Any]:
    found = reaction.explanation
    why = (
        {
            "matches": found.matches,
            "obstacle": str(found.obstacle),
            "why": found.why,
            "part": found.part,
            "seen": found.seen,
            "near": found.near,
            "further": found.further,
        }
        if found is not None
        else None
    )
    return {
        "name": reaction.name,
        "now": why,
        "outcomes": {step: asdict(outcome) for step, outcome in reaction.outcomes.items()},
        "note": reaction.note,
        "timeline": [asdict(entry) for entry in reaction.timeline],
    }


# An event that never came


def draw_absence(absence: Absence, now: datetime) -> Iterator[Text]:
    """Yield what there is in place of a missing event, and what to look at."""
    since = f"since {when(absence.since)}"
    yield Text(f"No event about {visible(absence.subject)} is on record {since}.", style=_HEADING)
    if absence.near:
        yield Text(f"  near:  there are events about {visible(absence.near)}")
    for record in absence.unread:
        reasons = "; ".join(_with_code(outcome) for outcome in record.outcomes.values())
        yield Text(f"  but:  at {when(record.time)} came {visible(title_of(record))}")
        yield Text(f"        {visible(reasons)}")
        yield Text(f"        signalbox events show {record.event[:12]}")
    for letter in absence.letters:
        yield Text(f"  but:  letter {letter.id[:8]} ({letter.status}) may hold it")
        yield Text(f"        {visible(f'{letter.code}: {letter.reason}')}")
        yield Text(f"        signalbox letters show {letter.id[:8]}")
    yield Text("")
    yield Text("What came from each workspace:", style=_HEADING)
    for workspace in absence.workspaces:
        yield from _workspace(workspace, now)
    if not absence.workspaces:
        yield Text("  no such workspace is listed, and no event of it came")
    yield Text("")
    yield Text("What to look at:", style=_HEADING)
    yield from _advice(absence)


def _workspace(workspace: SeenWorkspace, now: datetime) -> Iterator[Text]:
    listed = "" if workspace.is_listed else ", which `workspaces:` does not list"
    last = workspace.last
    if last is None:
        yield Text(f"  {visible(workspace.name)}{listed}:  no event at all")
        return
    yield Text(f"  {visible(workspace.name)}{listed}:  the last one {_ago(last.time, now)}")
    for kind, record in sorted(workspace.newest.items()):
        what = f"{record.about or record.id} at {when(record.time)}, {_ago(record.time, now)}"
        yield Text(f"    {visible(kind)}  {visible(what)}")


def _ago(time: datetime, now: datetime) -> str:
    return f"{elapsed(now - time)} ago"


def _advice(absence: Absence) -> Iterator[Text]:
    for queue in absence.waiting:
        yield Text(f"  -  queue {queue} has messages that wait: does the app run?")
    if absence.undelivered:
        given_up = f"{absence.undelivered} of events that Event Grid could not deliver"
        yield Text(f"  -  container event-grid-dead-letters has blobs, {given_up}")
    silent = [one for one in absence.workspaces if one.is_listed and one.last is None]
    for one in silent or absence.workspaces[:1]:
        yield Text("  -  is there an event subscription, and does it include the type?")
        command = f"az eventgrid event-subscription list --source-resource-id {visible(one.id)}"
        yield Text(f"     {command}")
    if not absence.undelivered:
        yield Text("  -  container event-grid-dead-letters has no event that Event Grid gave up;")
        yield Text("     does the subscription name that container?")
    yield Text("  -  does an event arrive at all? Publish one:")
    model, _, version = absence.subject.partition(":")
    options = f" --model {visible(absence.subject)}" if model and version else ""
    yield Text(f"     signalbox send --sample ModelRegistered{options} --queue")


def lines_of(accounts: Iterable[Account]) -> Iterator[Text]:
    """Yield the lines about several events, apart from each other."""
    for number, account in enumerate(accounts):
        if number:
            yield Text("")
        yield from draw_facts(account)
        yield from draw_reactions(account)
