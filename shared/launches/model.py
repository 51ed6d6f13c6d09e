"""A launch: one run that `start` has started, from the claim to its end."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.base.ids import reference_of_launch
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef, Outcome, OutcomeStatus
from shared.messages.notice import Notice, Text, notices_to
from shared.retraining.model import partition_of


class LaunchStatus(StrEnum):
    """The status of a launch."""

    STARTING = "starting"  #: Its target has not taken it yet, as far as is known.
    REFUSED = "refused"  #: Its target refused it; the replay of its letter starts it again.
    RUNNING = "running"
    DELIVERED = "delivered"  #: Its target has taken it, and can't be asked how it goes on.
    COMPLETED = "completed"
    FAILED = "failed"  #: The run failed, was canceled, or did not end in time.


_MAY_BE_STARTED = frozenset({LaunchStatus.STARTING, LaunchStatus.REFUSED})
_OUTCOMES = {
    LaunchStatus.DELIVERED: OutcomeStatus.DONE,
    LaunchStatus.COMPLETED: OutcomeStatus.DONE,
    LaunchStatus.FAILED: OutcomeStatus.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One run of a target. `id` is made from the claim; the outcome is recorded under `ref`.

    `target` has the target's values as JSON, without the body of a message.
    """

    id: str
    reaction: str
    step: str
    ref: EventRef
    workspace: Workspace
    kind: str  #: The key of its target.
    target: str
    begun_at: datetime
    changed_at: datetime
    timeout: timedelta
    status: LaunchStatus = LaunchStatus.STARTING
    channels: tuple[str, ...] = ()
    run_id: str = ""
    link: str = ""
    reason: str = ""
    looked_at: datetime | None = None  #: When its target was last asked for its status.
    notices: tuple[Notice, ...] = ()
    given_up: str = ""
    is_unsettled: bool = False  #: Whether its end is still to be recorded.
    revision: int = 0  #: Grows with each status.

    @property
    def partition(self) -> str:
        """The table partition: all launches of a reaction share it."""
        return partition_of(self.reaction)

    @property
    def reference(self) -> str:
        """The tag's value that ties a run to this launch."""
        return reference_of_launch(self.partition, self.id)

    @property
    def may_be_started(self) -> bool:
        """Whether its target has not taken it, as far as is known."""
        return self.status in _MAY_BE_STARTED

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.status in _OUTCOMES

    @property
    def is_open(self) -> bool:
        """Whether the sweep has to look at it."""
        return self.status is LaunchStatus.RUNNING or self.is_unsettled or bool(self.notices)

    @property
    def outcome(self) -> Outcome:
        """The outcome of the step that started it."""
        run = f"run {self.run_id}" if self.run_id else "the run"
        details = {
            LaunchStatus.DELIVERED: "the message was taken",
            LaunchStatus.COMPLETED: f"{run} completed",
            LaunchStatus.FAILED: f"{run} failed: {self.reason}",
        }
        return Outcome(
            status=_OUTCOMES.get(self.status, OutcomeStatus.WAITING),
            detail=details.get(self.status, f"{run} is started"),
            code="start.failed" if self.status is LaunchStatus.FAILED else "",
            launch=self.id,
            revision=self.revision,
        )

    def at(self, status: LaunchStatus, now: datetime, reason: str = "") -> "Launch":
        """Return the launch at another status."""
        ahead = self.revision + 1
        return replace(self, status=status, changed_at=now, reason=reason, revision=ahead)

    def ended(self, status: LaunchStatus, now: datetime, reason: str = "") -> "Launch":
        """Return the launch with its end, which is still to be recorded and told."""
        over = replace(self.at(status, now, reason), is_unsettled=True)
        is_good = status is LaunchStatus.COMPLETED
        lines = [
            *([f"Reason: {reason}"] if reason else []),
            *([f"Run: {self.run_id}"] if self.run_id else []),
            f"Workspace: {self.workspace.name}",
            f"Event: {self.ref.type} {self.ref.about}",
            *filter(None, [self.link]),
        ]
        title = f"{self.reaction}: the run {'completed' if is_good else 'failed'}"
        text = Text(title=title, body="\n".join(lines), good=is_good)
        return replace(over, notices=self.notices + notices_to(self.channels, text))
