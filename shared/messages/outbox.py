"""The outbox: sends the messages that a row keeps. A channel that is down never holds work up."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.base import telemetry
from shared.base.errors import Disposition, Failure, failure_of
from shared.base.ports import Channels
from shared.base.redact import redact
from shared.messages.notice import Notice, Text

log = logging.getLogger(__name__)

#: The failed attempts after which a message is given up; the log says which one, and why.
ATTEMPTS_MAX = 12
_GIVEN_UP_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The messages to try again, and which one was given up and why, "" if none was."""

    left: tuple[Notice, ...]
    given_up: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """Sends messages to channels.

    `admits` says whether a channel may get a message now, and counts it if not; what was counted is
    told later.
    """

    channels: Channels
    admits: Callable[[str, Text], bool] = lambda _channel, _text: True

    def send(self, notices: tuple[Notice, ...], *, given_up: str = "") -> Unsent:
        """Send the messages; return those that are to be tried again.

        The messages of one channel stay in order: after one that failed, the later ones wait. After
        a crash between sending and saving, a message is sent twice, which is better than never.
        """
        left: list[Notice] = []
        down: set[str] = set()
        for notice in notices:
            attempts: dict[str, int] = {}
            for channel, attempt in notice.attempts.items():
                if channel in down:
                    attempts[channel] = attempt
                    continue
                failure = self._send(channel, notice.text)
                if failure is None:
                    continue
                if failure.disposition is Disposition.RETRY and attempt + 1 < ATTEMPTS_MAX:
                    down.add(channel)
                    attempts[channel] = attempt + 1
                else:
                    why = f'{channel} was not told "{notice.text.title}": {failure.reason}'
                    given_up = redact(why, most=_GIVEN_UP_MAX)
                    log.warning("a message was given up: %s", given_up)
            if attempts:
                left.append(replace(notice, attempts=attempts))
        return Unsent(left=tuple(left), given_up=given_up)

    def _send(self, channel: str, text: Text) -> Failure | None:
        """Send one message; return why the channel did not take it, or None."""
        try:
            if not self.admits(channel, text):
                return None
            self.channels.send(channel, title=text.title, text=text.body, good=text.good)
        except Exception as error:  # noqa: BLE001 - no channel may stop the work
            failure = failure_of(error)
            log.warning("channel %s did not take a message: %s", channel, failure.reason)
            telemetry.count(telemetry.METRIC_MESSAGES, channel=channel, status="failed")
            return failure
        telemetry.count(telemetry.METRIC_MESSAGES, channel=channel, status="sent")
        return None
