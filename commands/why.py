"""`signalbox why`: why something happened about an event, or nothing did."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import (
    EXIT_ERRORS,
    AsJson,
    InWorkspace,
    app_services,
    fail,
    print_json,
    print_lines,
)

if TYPE_CHECKING:
    from rich.text import Text

    from shared.flow.accounts import Account
    from shared.flow.searches import Absence
    from shared.services import Services

#: The events that are told in full; the others are named.
_TOLD_MAX = 3


def why(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="MODEL:VERSION, a run, an endpoint, or the id of an event or its beginning.",
        ),
    ],
    workspace: InWorkspace = "",
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the workspace for tags as they are now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say why something happened, or did not.

    For each reaction: whether the event sets it off by the rules as they are now, and if not, the
    first part of its condition that does not hold, with the values that it saw. For those that
    were set off, what came of it and when. The exit status is 1 if no such event is on record.
    """
    if not subject.strip():
        raise fail("name a model version, a run, an endpoint or an event: signalbox why churn:8")
    with app_services() as services:
        accounts = find_accounts(services, subject, workspace=workspace, offline=offline)
        now = services.clock.now()
        absence = None if accounts else services.searches.missing(subject, workspace=workspace)
    if as_json:
        from commands.event_view import as_document

        print_json(absence or [as_document(account) for account in accounts])
    else:
        print_lines(lines(accounts, absence, now))
    if absence is not None:
        raise typer.Exit(EXIT_ERRORS)


def find_accounts(
    services: "Services", subject: str, *, workspace: str = "", offline: bool = False
) -> "tuple[Account, ...]":
    """Return what came of the newest events about something, the newest first."""
    accounts = services.accounts(reactions=services.reactions, asks_workspaces=not offline)
    found = services.searches.find(subject, workspace=workspace)
    return tuple(accounts.of(record) for record in found)


def lines(
    accounts: "tuple[Account, ...]", absence: "Absence | None", now: datetime
) -> "Iterator[Text | str]":
    """Yield the lines that answer the question."""
    from commands.common import visible, when
    from commands.event_view import draw_absence, lines_of, title_of

    if absence is not None:
        yield from draw_absence(absence, now)
        return
    yield from lines_of(accounts[:_TOLD_MAX])
    for number, account in enumerate(accounts[_TOLD_MAX:]):
        if number == 0:
            yield ""
            yield "Earlier events:"
        record = account.record
        yield f"  {when(record.time)}  {visible(title_of(record))}  {record.event[:12]}"
