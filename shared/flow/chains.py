"""Chains: a reaction that is set off by what a reaction made, which may go on for ever.

A run that a reaction starts completes, which may start another run. All that reactions make has the
number of those behind it in its tags. A chain that is too long ends, and
people are told of it once a day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.base.errors import ChainTooLong, ChannelDown, WorkspaceDenied, WorkspaceRefused
from shared.base.words import counted
from shared.events.causes import EventCause, cause_in
from shared.events.model import Event, ModelRegistered, RunCompleted, RunStatusChanged, Workspace
from shared.reactions.model import Reaction

if TYPE_CHECKING:
    from shared.messages.outbox import Outbox
    from shared.messages.repeats import Folds
    from shared.workspaces.model import RunRecord
    from shared.workspaces.ports import Workspaces

_TOLD_EVERY = timedelta(days=1)
#: The step and the key under which messages about a chain are repeats of one another.
_STEP = "chain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """Ends chains of reactions. `most` is how many may follow one another.

    The parts are built when they are first needed: few events have a cause.
    """

    most: int
    channels_of: Callable[[str], tuple[str, ...]]
    workspaces: "Callable[[], Workspaces]"
    folds: "Callable[[], Folds]"
    outbox: "Callable[[], Outbox]"

    def check(self, reaction: Reaction, event: Event, find_cause: Callable[[], EventCause]) -> None:
        """Refuse an event with too many reactions behind it.

        Raises: ChainTooLong, and ChannelDown if people could not be told; StorageUnavailable, and
        WorkspaceError if waiting can help.
        """
        if not reaction.makes:
            return
        cause = find_cause()
        if cause.depth < self.most:
            return
        last = f"the last one is {cause.reaction!r}" if cause.reaction else "their names are lost"
        reason = (
            f"{counted(cause.depth, 'reaction')} led to this event one after another ({last}),"
            f" and `chain_limit` is {self.most}"
        )
        self._tell(reaction, event, reason)
        raise ChainTooLong(reason)

    def cause_of(self, reaction: Reaction, event: Event) -> EventCause:
        """Return the cause of an event, also where it is on the run that the event belongs to.

        A step of a pipeline has not the tags of its run, and a model has not those of the run that
        registered it. They are read only if the reaction starts runs, which may close a circle.

        Raises: WorkspaceError, except WorkspaceDenied and WorkspaceRefused.
        """
        if event.cause.depth or not reaction.makes_runs:
            return event.cause
        try:
            if isinstance(event, RunCompleted | RunStatusChanged) and not event.run.is_root:
                return self._cause_of_run(event.workspace, event.run.root_id)
            if isinstance(event, ModelRegistered):
                model = self.workspaces().get_model(
                    event.workspace, event.model.name, event.model.version
                )
                return self._cause_of_run(event.workspace, model.job_name if model else "")
        except (WorkspaceDenied, WorkspaceRefused):
            pass  # the app works without the right to read runs
        return event.cause

    def _cause_of_run(self, workspace: Workspace, run_id: str) -> EventCause:
        run = self._run(workspace, run_id)
        if run is None:
            return EventCause()
        found = cause_in(run.tags)
        if found.depth or run.root_id in ("", run.id):
            return found
        root = self._run(workspace, run.root_id)
        return cause_in(root.tags) if root is not None else found

    def _run(self, workspace: Workspace, run_id: str) -> "RunRecord | None":
        return self.workspaces().get_run(workspace, run_id) if run_id else None

    def _tell(self, reaction: Reaction, event: Event, reason: str) -> None:
        """Tell the reaction's channels, each once a day; a summary has the number of the others.

        Raises: ChannelDown, StorageUnavailable.
        """
        from shared.base.ids import digest
        from shared.messages.notice import Text, notices_to
        from shared.messages.repeats import Repeat

        title = f"{reaction.name} was stopped: reactions set one another off"
        body = "\n".join(
            [
                f"Reason: {reason}.",
                f"Event: {event.type} {event.about} in workspace {event.workspace.name}",
                "What to do: narrow its `when` so that it leaves out what reactions make, for"
                " example: cause.depth == `0`",
            ]
        )
        for channel in self.channels_of(reaction.name):
            repeat = Repeat(
                claim=digest(event.key, reaction.name, _STEP),
                workspace=event.workspace,
                reaction=reaction.name,
                step=_STEP,
                channel=channel,
                key=_STEP,
                title=title,
                within=_TOLD_EVERY,
            )
            if not self.folds().place(repeat).is_first:
                continue
            text = Text(title=title, body=body, good=False, needs_person=True)
            if self.outbox().send(notices_to([channel], text)).left:
                raise ChannelDown(f"channel {channel!r} could not be told that a chain was ended")
