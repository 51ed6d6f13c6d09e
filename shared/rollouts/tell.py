"""Tell people what their rollouts do. A channel that is down never holds a rollout up."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared import telemetry
from shared.clock import Clock
from shared.errors import Disposition, failure_of
from shared.ports import Channels
from shared.retry import backoff
from shared.rollouts.model import Notice, Rollout
from shared.rollouts.notices import text_of

log = logging.getLogger(__name__)

#: How often a message is tried; then the rollout keeps what was not told, and why.
ATTEMPTS_MAX = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Sends a rollout's messages to its channels."""

    channels: Channels
    clock: Clock
    retry_base: timedelta
    studio: str

    def all(self, rollout: Rollout) -> Rollout:
        """Send the rollout's messages; return it with those left that are to be tried again.

        Messages of one channel stay in order. A message is sent again after a crash between
        sending and saving: told twice is better than not at all.
        """
        left: list[Notice] = []
        untold = rollout.untold
        for notice in rollout.notices:
            if any(earlier.channel == notice.channel for earlier in left):
                left.append(notice)
                continue
            reason, may_retry = self._send(rollout, notice)
            if not reason:
                continue
            if may_retry and notice.attempt + 1 < ATTEMPTS_MAX:
                left.append(replace(notice, attempt=notice.attempt + 1))
            else:
                untold = f"{notice.channel} was not told {notice.kind}: {reason}"[:300]
        due_at = self._due_at(rollout, left)
        return replace(rollout, notices=tuple(left), untold=untold, due_at=due_at)

    def _send(self, rollout: Rollout, notice: Notice) -> tuple[str, bool]:
        """Send one message; return why it was not taken, or "", and whether waiting can help."""
        text = text_of(rollout, notice, studio=self.studio)
        try:
            self.channels.send(notice.channel, title=text.title, text=text.body, good=text.good)
        except Exception as error:  # noqa: BLE001 - whatever a channel does, the rollout goes on
            failure = failure_of(error)
            log.warning("channel %s did not take a message: %s", notice.channel, failure.reason)
            telemetry.count(telemetry.METRIC_MESSAGES, channel=notice.channel, status="failed")
            return failure.reason, failure.disposition is Disposition.RETRY
        telemetry.count(telemetry.METRIC_MESSAGES, channel=notice.channel, status="sent")
        return "", False

    def _due_at(self, rollout: Rollout, left: list[Notice]) -> datetime:
        """Return when to tick: for what is left to tell, no later than its next try."""
        if not left:
            return rollout.due_at
        attempt = max(notice.attempt for notice in left)
        again = self.clock.now() + backoff(max(attempt, 1), base=self.retry_base)
        return again if rollout.phase.is_terminal else min(again, rollout.due_at)
