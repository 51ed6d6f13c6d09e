"""Tell people what their rollouts do, and tick again for what is left to tell."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared.base.clock import Clock
from shared.base.retry import backoff
from shared.messages.outbox import Tell
from shared.rollouts.people.notices import text_of_rollout
from shared.rollouts.state.rollout import Rollout, RolloutNotice


@dataclass(frozen=True, slots=True, kw_only=True)
class TellRollout:
    """Sends a rollout's messages to its channels."""

    tell: Tell
    clock: Clock
    retry_base: timedelta
    studio: str

    def all(self, rollout: Rollout) -> Rollout:
        """Send the rollout's messages; return it with those left that are to be tried again."""
        told = self.tell.all(
            rollout.notices,
            partial(text_of_rollout, rollout, studio=self.studio),
            untold=rollout.untold,
        )
        due_at = self._due_at(rollout, told.left)
        return replace(rollout, notices=told.left, untold=told.untold, due_at=due_at)

    def _due_at(self, rollout: Rollout, left: tuple[RolloutNotice, ...]) -> datetime:
        """Return when to tick: for what is left to tell, no later than its next try."""
        if not left:
            return rollout.due_at
        attempt = max(notice.attempt for notice in left)
        again = self.clock.now() + backoff(max(attempt, 1), base=self.retry_base)
        return again if rollout.phase.is_terminal else min(again, rollout.due_at)
