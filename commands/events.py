"""`signalbox events`: every event that arrived, and what came of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from time import sleep as pause
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import (
    AsJson,
    InWorkspace,
    app_services,
    fail,
    print_json,
    print_lines,
    print_table,
    time_given,
    visible,
    when,
)

if TYPE_CHECKING:
    from shared.base.clock import Clock
    from shared.journal.records import EventRecord
    from shared.reactions.model import Reactions
    from shared.services import Services

app = typer.Typer(help="See the events that arrived.", no_args_is_help=True)

#: How often `--watch` looks, in seconds, and how far back: an event may arrive that late.
_EVERY = 2.0
_LATE = timedelta(minutes=15)
_ID = 12
_DEFAULT_MOST = 50
_RUN_TYPES = ("RunCompleted", "RunStatusChanged")

EventId = Annotated[
    str, typer.Argument(metavar="ID", help="The event's id or key, or the beginning of either.")
]


@app.command("list")
def list_events(
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From then on: 2h, 7d, or 2026-03-02T09:00Z.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Up to then, in the same forms.")] = "",
    type: Annotated[str, typer.Option(metavar="TYPE", help="Only those of this type.")] = "",
    workspace: InWorkspace = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Only registrations of this model or NAME:VERSION.")
    ] = "",
    run: Annotated[str, typer.Option(metavar="ID", help="Only those of this run.")] = "",
    outcome: Annotated[
        str,
        typer.Option(
            metavar="OUTCOME", help="Only with a step done, skipped, waiting, failed, or a code."
        ),
    ] = "",
    reaction: Annotated[
        str, typer.Option(metavar="NAME", help="Only those with an outcome of this reaction.")
    ] = "",
    most: Annotated[
        int, typer.Option(metavar="N", min=0, help="The newest N; 0 lists all.")
    ] = _DEFAULT_MOST,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and print events as they come.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the events that arrived, the newest first.

    Each with what came of it, for as long as events are kept. The times are those of the events.
    """
    if model and run:
        raise fail("give --model or --run, not both: an event is about one of them")
    with app_services() as services:
        now = services.clock.now()
        types = _types(type, model, run)
        look = partial(
            services.records.find,
            until=time_given(until, now) if until else None,
            type=types[0] if len(types) == 1 else "",
            workspace=workspace,
            about=model or run,
            reaction=reaction,
            outcome=outcome.lower(),
        )
        if watch:
            first = time_given(since, now) if since else now - _LATE
            _print_changes(_changes(look, types, services.clock, first), as_json=as_json)
            return
        earliest = time_given(since, now) if since else now - services.settings.retention
        found = _of_types(look(since=earliest), types)
        listed = list(islice(found, most or None))
        has_more = bool(most) and next(found, None) is not None
    _print(listed, as_json=as_json)
    if has_more:
        typer.echo(f"these are the newest {most}; --most 0 lists all", err=True)


@app.command()
def show(event_id: EventId, as_json: AsJson = False) -> None:
    """Show one event: as it arrived, as it was read, and what came of it."""
    from commands.event_view import as_document, body_lines, draw_facts, draw_reactions

    if not event_id.strip():
        raise fail("the id is empty: `signalbox events list` shows the ids")
    with app_services() as services:
        records = _records_of(services, event_id)
        accounts = services.accounts(reactions=_rules(services), asks_workspaces=False)
        found = [accounts.of(record) for record in records]
    if as_json:
        print_json([as_document(account) for account in found])
        return
    for account in found:
        print_lines(draw_facts(account))
        print_lines(draw_reactions(account))
    for line in body_lines(found[0]):  # several events of one envelope have one body
        typer.echo(line)


def _rules(services: "Services") -> "Reactions | None":
    """Return the rules, or None with the reason on standard error: an event is shown without."""
    from shared.base.errors import ReactionsInvalid

    try:
        return services.reactions
    except ReactionsInvalid as error:
        message = f"the rules can't be read, so only outcomes are shown: {error.message}"
        typer.echo(visible(message), err=True)
        return None


def _records_of(services: "Services", prefix: str) -> "list[EventRecord]":
    """Return the events of one envelope; exit with 1 where there is none, or of several."""
    since = services.clock.now() - services.settings.retention
    found = list(islice(services.records.by_id(prefix, since=since), 20))
    if not found:
        raise fail(f"there is no event {prefix}; `signalbox events list` shows the ids")
    exact = [record for record in found if prefix in (record.id, record.event)] or found
    if len({(record.id, record.source.lower()) for record in exact}) > 1:
        ids = ", ".join(f"{record.event[:_ID]} ({record.id})" for record in exact[:5])
        raise fail(visible(f"{len(exact)} events begin with {prefix}: {ids}"))
    return exact


def _types(type: str, model: str, run: str) -> tuple[str, ...]:
    """Return the types of event to list, () for any; exit with 1 for a type that there is not."""
    from shared.events.model import EventType
    from shared.schema.wording import suggest

    if model or run:
        return ("ModelRegistered",) if model else _RUN_TYPES
    known = {str(item).lower(): str(item) for item in EventType}
    bare = type.rpartition(".")[2].lower()
    if not type or bare in known:
        return (known[bare],) if type else ()
    if "." in type:  # a type that no reaction can be on is kept as it arrived
        return (type,)
    raise fail(visible(f"there is no event type {type}. {suggest(type, known.values())}"))


def _of_types(found: "Iterator[EventRecord]", types: tuple[str, ...]) -> "Iterator[EventRecord]":
    return (record for record in found if not types or record.type in types)


def _print(records: "list[EventRecord]", *, as_json: bool) -> None:
    if as_json:
        print_json([_document(record) for record in records])
    elif records:
        print_table(_COLUMNS, [_row(record) for record in records])
    else:
        typer.echo("no events")


def _changes(
    look: "Callable[..., Iterator[EventRecord]]",
    types: tuple[str, ...],
    clock: "Clock",
    since: datetime,
) -> "Iterator[EventRecord]":
    """Yield events as they come, the oldest first, and again where their outcome has changed.

    It remembers those of the last look only.
    """
    from commands.event_view import status_of

    seen: dict[str, str] = {}
    while True:
        found = list(_of_types(look(since=since), types))
        yield from (one for one in reversed(found) if seen.get(one.event) != status_of(one))
        seen = {record.event: status_of(record) for record in found}
        pause(_EVERY)
        since = clock.now() - _LATE


def _print_changes(changes: "Iterator[EventRecord]", *, as_json: bool) -> None:
    from shared.base.outgoing import for_row

    with suppress(KeyboardInterrupt):
        for record in changes:
            if as_json:
                typer.echo(for_row(json.dumps(_document(record), default=str)))
            else:
                print_lines(["  ".join(filter(None, _row(record)))])


_COLUMNS = ("id", "happened", "workspace", "type", "about", "outcome", "what came of it")


def _row(record: "EventRecord") -> tuple[str, ...]:
    from commands.event_view import status_of, summary_of

    return (
        record.event[:_ID],
        when(record.time),
        record.workspace,
        record.type,
        record.about,
        status_of(record),
        summary_of(record),
    )


def _document(record: "EventRecord") -> dict[str, object]:
    """Return a record for programs: without its body, which `show` has."""
    document = asdict(record)
    del document["body"], document["in_blob"]
    return {**document, "workspace": record.workspace}
