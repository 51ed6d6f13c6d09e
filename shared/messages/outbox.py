"""Tell people things that a row remembers until they are told. A channel never holds work up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from shared.base import telemetry
from shared.base.errors import Disposition, failure_of
from shared.base.ports import Channels
from shared.base.redact import redact
from shared.messages.text import Text

log = logging.getLogger(__name__)

#: How often a message is tried; then its row keeps what was not told, and why.
ATTEMPTS_MAX = 12
_UNTOLD_MAX = 300


class Notice(Protocol):
    """A message to one channel that is still to be sent: a dataclass."""

    @property
    def kind(self) -> str:
        """What it is about."""
        ...

    @property
    def channel(self) -> str:
        """Whom it is for."""
        ...

    @property
    def attempt(self) -> int:
        """How often it was tried in vain."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told[N]:
    """What is left to tell, and what was given up and why, "" if nothing was."""

    left: tuple[N, ...]
    untold: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Sends messages to channels."""

    channels: Channels

    def all[N: Notice](
        self, notices: tuple[N, ...], text_of: Callable[[N], Text], *, untold: str = ""
    ) -> Told[N]:
        """Send the messages; return those that are to be tried again.

        Messages of one channel stay in order. A message is sent again after a crash between
        sending and saving: told twice is better than not at all.
        """
        left: list[N] = []
        for notice in notices:
            if any(earlier.channel == notice.channel for earlier in left):
                left.append(notice)
                continue
            reason, may_retry = self._send(notice, text_of)
            if not reason:
                continue
            if may_retry and notice.attempt + 1 < ATTEMPTS_MAX:
                left.append(_tried(notice))
            else:
                why = f"{notice.channel} was not told {notice.kind}: {reason}"
                untold = redact(why, most=_UNTOLD_MAX)
        return Told(left=tuple(left), untold=untold)

    def _send[N: Notice](self, notice: N, text_of: Callable[[N], Text]) -> tuple[str, bool]:
        """Send one message; return why it was not taken, or "", and whether waiting can help."""
        text = text_of(notice)
        try:
            self.channels.send(notice.channel, title=text.title, text=text.body, good=text.good)
        except Exception as error:  # noqa: BLE001 - whatever a channel does, the work goes on
            failure = failure_of(error)
            log.warning("channel %s did not take a message: %s", notice.channel, failure.reason)
            telemetry.count(telemetry.METRIC_MESSAGES, channel=notice.channel, status="failed")
            return failure.reason, failure.disposition is Disposition.RETRY
        telemetry.count(telemetry.METRIC_MESSAGES, channel=notice.channel, status="sent")
        return "", False


def _tried[N: Notice](notice: N) -> N:
    changed: Any = notice
    tried: N = replace(changed, attempt=notice.attempt + 1)
    return tried
