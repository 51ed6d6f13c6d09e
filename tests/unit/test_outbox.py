"""Messages are sent in order, tried again where waiting helps, and given up with a reason."""

from dataclasses import replace

from shared.base.errors import ChannelDown, ChannelUnknown
from shared.messages.notice import Notice, Text, notices_to
from shared.messages.outbox import ATTEMPTS_MAX, Outbox, Unsent


class Wall:
    """Channels that note what they take; those in `errors` take nothing."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.taken: list[tuple[str, str]] = []

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        if channel in self.errors:
            raise self.errors[channel]
        self.taken.append((channel, title))


def make_notice(title: str, *channels: str) -> Notice:
    (notice,) = notices_to(channels, Text(title=title, body="", good=None))
    return notice


def test_without_a_channel_no_message_is_kept() -> None:
    assert notices_to((), Text(title="a", body="", good=None)) == ()


def test_a_channel_that_is_down_keeps_its_messages_in_order_and_holds_up_no_other() -> None:
    first, second = make_notice("first", "ops", "team"), make_notice("second", "team", "ops")
    wall = Wall(ops=ChannelDown("down"))
    unsent = Outbox(channels=wall).send((first, second))
    assert wall.taken == [("team", "first"), ("team", "second")]
    tried, waiting = replace(first, attempts={"ops": 1}), replace(second, attempts={"ops": 0})
    assert unsent == Unsent(left=(tried, waiting))
    well = Wall()
    assert Outbox(channels=well).send(unsent.left) == Unsent(left=())
    assert well.taken == [("ops", "first"), ("ops", "second")]


def test_a_message_is_given_up_after_its_last_attempt_and_the_next_one_is_tried() -> None:
    last = replace(make_notice("first", "ops"), attempts={"ops": ATTEMPTS_MAX - 1})
    second = make_notice("second", "ops")
    unsent = Outbox(channels=Wall(ops=ChannelDown("it is down"))).send((last, second))
    assert unsent.left == (replace(second, attempts={"ops": 1}),)
    assert unsent.given_up == 'ops was not told "first": it is down'


def test_a_channel_that_does_not_exist_is_given_up_at_once() -> None:
    outbox = Outbox(channels=Wall(ops=ChannelUnknown("no channel")))
    unsent = outbox.send((make_notice("first", "ops", "team"),), given_up="before")
    assert unsent == Unsent(left=(), given_up='ops was not told "first": no channel')
    assert outbox.send((), given_up="before") == Unsent(left=(), given_up="before")
