"""The `notify` action: send a message about an event to a channel, or count it as a repeat."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.actions.base import Work
from shared.actions.current_state import is_young, with_place
from shared.actions.notify.params import NO_RUN, FoldParams, NotifyParams
from shared.base import telemetry
from shared.base.clock import Clock
from shared.base.errors import ParamsInvalid, Superseded
from shared.base.ports import Channels
from shared.base.redact import redact
from shared.base.words import ordinal
from shared.events.model import RunCompleted, RunStatusChanged
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.messages.notice import Text

if TYPE_CHECKING:
    from shared.messages.repeats import Folds, PlaceInFold, Repeat
    from shared.workspaces.model import RunRecord
    from shared.workspaces.ports import Workspaces

_TITLE_MAX = 250
_TEXT_MAX = 4000


type RunEvent = RunCompleted | RunStatusChanged


class Notify:
    """Sends one message to one channel.

    `folds` and `workspaces` are built only if a reaction needs them.
    """

    #: If a channel is down, the other steps go on; this step's own letter tries again.
    may_fail = True

    def __init__(
        self,
        *,
        channels: Channels,
        admits: Callable[[str, Text, str], bool],
        folds: "Callable[[], Folds]",
        workspaces: "Callable[[], Workspaces]",
        clock: Clock,
        studio: str,
    ) -> None:
        """Send messages; `studio` is the beginning of links to runs.

        `admits` says whether a channel may get a message of this name now, and counts it if not.
        """
        self._channels = channels
        self._admits = admits
        self._folds = folds
        self._workspaces = workspaces
        self._clock = clock
        self._studio = studio

    def act(self, work: Work) -> Outcome:
        """Send the message, or count it if it is a repeat.

        Raises: ExpressionFailed, ParamsInvalid, ChannelDown, ChannelUnknown, StorageUnavailable,
        Superseded and, while the event is young, a WorkspaceError that waiting can help.
        """
        params = work.params(NotifyParams)
        title = redact(params.title, most=_TITLE_MAX)
        if params.fold is None:
            return self._send(work, params, title)
        repeat = _repeat(work, params, params.fold, title)
        place = self._folds().place(repeat)
        if not place.is_first:
            telemetry.count(telemetry.METRIC_MESSAGES, channel=params.channel, status="folded")
            return Outcome(status=OutcomeStatus.DONE, detail=_fold_detail(place, repeat))
        try:
            return self._send(work, params, title)
        except Superseded:
            self._folds().withdraw(repeat)
            raise

    def _send(self, work: Work, params: NotifyParams, title: str) -> Outcome:
        text, good = params.text, None
        if not self._admits(params.channel, Text(title=title, body="", good=None), work.key.digest):
            detail = f"counted, because {params.channel} has got as many messages as an hour allows"
            return Outcome(status=OutcomeStatus.DONE, detail=detail)
        if params.run_details:
            text, good = self._with_details(work, text)
        self._channels.send(
            params.channel, title=title, text=redact(text, most=_TEXT_MAX), good=good
        )
        telemetry.count(telemetry.METRIC_MESSAGES, channel=params.channel, status="sent")
        return Outcome(status=OutcomeStatus.DONE, detail=f"told {params.channel}")

    def _with_details(self, work: Work, text: str) -> tuple[str, bool | None]:
        """Return the text followed by the details of the run, and whether they are good news."""
        from shared.workspaces.run_reports import RunReports, describe, is_good

        event = work.event
        if not isinstance(event, RunCompleted | RunStatusChanged):
            raise ParamsInvalid(f"`run_details`: {NO_RUN}, and this is a {event.type} event")
        reports = RunReports(workspaces=self._workspaces(), clock=self._clock)
        # For an older event the message is sent without the details that can't be read.
        may_wait = is_young(event, self._clock.now())
        report = reports.read(event.workspace, event.run.id, may_wait=may_wait)
        if report.run is not None:
            _require_still_matched(work, event, report.run)
        details = describe(report, event.run, event.workspace, studio=self._studio)
        room = _TEXT_MAX - len(details) - 1
        before = redact(text, most=room) if text and room > 0 else ""
        return "\n".join(filter(None, (before, details))), is_good(report, event.run)


def _repeat(work: Work, params: NotifyParams, fold: FoldParams, title: str) -> "Repeat":
    from shared.messages.repeats import Repeat

    return Repeat(
        claim=work.key.digest,
        workspace=work.event.workspace,
        reaction=work.reaction.name,
        step=work.step.id,
        channel=params.channel,
        key=fold.key,
        title=title,
        within=fold.within,
    )


def _fold_detail(place: "PlaceInFold", repeat: "Repeat") -> str:
    which = f"the {ordinal(place.number)}" if place.number else "counted before, as one"
    return f"folded: {which} of {redact(repeat.key, most=100)!r} since {place.since:%H:%M} UTC"


def _require_still_matched(work: Work, event: RunEvent, run: "RunRecord") -> None:
    """Refuse a run that, given its place in the pipeline, would not have set off the reaction.

    Raises: Superseded.
    """
    now = replace(event, run=with_place(event.run, run))
    if now != event and not work.still_holds(now):
        root = redact(now.run.root_id, most=100)
        raise Superseded(f"run {redact(run.id, most=100)} is a step of {root}")
