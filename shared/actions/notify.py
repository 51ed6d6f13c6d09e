"""The `notify` action: tell a channel something about an event."""

from shared import telemetry
from shared.actions.base import Work
from shared.outcomes import Outcome, OutcomeStatus
from shared.ports import Channels
from shared.reactions.model import ChannelName, Params
from shared.redact import redact

_TITLE_MAX = 250
_TEXT_MAX = 4000


class NotifyParams(Params):
    """What `notify` takes."""

    channel: ChannelName
    title: str
    text: str = ""


class Notify:
    """Sends one message to one channel."""

    #: A channel that is down keeps nothing else from being done; its own letter tries again.
    may_fail = True

    def __init__(self, *, channels: Channels) -> None:
        self._channels = channels

    def act(self, work: Work) -> Outcome:
        """Send the message.

        Raises: ExpressionFailed, ParamsInvalid, ChannelDown, ChannelUnknown.
        """
        params = work.params(NotifyParams)
        self._channels.send(
            params.channel,
            title=redact(params.title, most=_TITLE_MAX),
            text=redact(params.text, most=_TEXT_MAX),
            good=None,
        )
        telemetry.count(telemetry.METRIC_MESSAGES, channel=params.channel, status="sent")
        return Outcome(status=OutcomeStatus.DONE, detail=f"told {params.channel}")
