"""The `start` action: start a run of a target, on any event.

The run is named from the claim, so it is found after a crash. `Launches` follow it to its end.
"""

from shared.actions.allowed import require_allowed
from shared.actions.base import Work
from shared.actions.current_state import current_event
from shared.actions.start.params import StartParams
from shared.base.clock import Clock
from shared.base.documents import again_if_changed
from shared.base.errors import BudgetFull, Disposition, SignalboxError, Superseded
from shared.events.model import Event, as_data
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.launches.launches import Launches
from shared.launches.model import Launch
from shared.retraining.model import partition_of
from shared.retraining.targets import Submission
from shared.workspaces.ports import Workspaces

#: A target of which nothing can be asked: its run is over for us when it has taken the message.
_UNFOLLOWED = frozenset({"webhook"})


class Start:
    """Starts runs of targets."""

    may_fail = False

    def __init__(self, *, workspaces: Workspaces, launches: Launches, clock: Clock) -> None:
        """Read the event's model or run from the workspace."""
        self._workspaces = workspaces
        self._launches = launches
        self._clock = clock

    def act(self, work: Work) -> Outcome:
        """Start the run, or find it started before a crash.

        Raises: ModelAbsent, RunAbsent, Superseded, TagForbidden, ExpressionFailed, ParamsInvalid,
        BudgetFull, TargetError, WorkspaceError, and StorageUnavailable.
        """
        known = self._launches.store.get(partition_of(work.reaction.name), _id_of(work))
        if known is not None and not known.value.may_be_started:
            self._launches.settle(known)
            return known.value.outcome
        event = current_event(self._workspaces, work.event, self._clock.now())
        if not work.still_holds(event):
            raise Superseded(f"{event.about} has changed, and `when` no longer holds")
        params = work.params(StartParams, event)
        require_allowed(work.step, params, as_data(event))
        try:
            return again_if_changed(lambda: self._start(work, params, event))
        except BudgetFull as error:
            if params.when_full != "skip":
                raise
            code = "start.at_once"
            return Outcome(status=OutcomeStatus.SKIPPED, detail=error.message, code=code)

    def _start(self, work: Work, params: StartParams, event: Event) -> Outcome:
        """Begin the launch, and have its target start the run.

        Raises: RowChanged where another worker has begun it, and what `act` raises.
        """
        known = self._launches.store.get(partition_of(work.reaction.name), _id_of(work))
        if known is not None and not known.value.may_be_started:
            return known.value.outcome
        kept = self._launches.begin(self._new(work, params), known, params.at_once)
        launch = kept.value
        submission = Submission(
            kind="start",
            id=launch.id,
            reference=launch.reference,
            workspace=launch.workspace,
            since=launch.begun_at,
            is_first=known is None,
            inputs=params.inputs,
            hosts=params.allow.hosts,
            tags={"signalbox_event": event.id[:250], **work.tags},
        )
        target = params.target
        try:
            submitted = self._launches.target(target.kind).submit(target.value, submission)
        except SignalboxError as error:
            if error.disposition is not Disposition.RETRY:
                self._launches.refused(launch)
            raise
        is_followed = target.kind not in _UNFOLLOWED
        return self._launches.started(launch, submitted, is_followed=is_followed).outcome

    def _new(self, work: Work, params: StartParams) -> Launch:
        now = self._clock.now()
        return Launch(
            id=_id_of(work),
            reaction=work.reaction.name,
            step=f"{work.reaction.name}/{work.key.step}",
            ref=work.ref,
            workspace=work.event.workspace,
            kind=params.target.kind,
            target=params.target.as_kept(),
            begun_at=now,
            changed_at=now,
            timeout=params.timeout,
            channels=params.notify,
        )


def _id_of(work: Work) -> str:
    return work.key.digest[:32]
