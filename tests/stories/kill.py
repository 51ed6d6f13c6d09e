"""Kills the app at any call of a port, and delivers again what was not taken."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from shared.journal import announcements
from shared.rollouts.engine import advance
from tests.stories.world import World

#: Which call of a port the process is killed at: its number, and "before" or "after" it; or none.
type Kill = tuple[int, str] | None


class Killed(BaseException):
    """The process is killed: no handler of ours sees it."""


class Ports:
    """Counts the calls of every port and kills the process at one of them, before or after it."""

    def __init__(self, world: World) -> None:
        self.calls: list[str] = []
        self.kill_at: Kill = None
        for port, names in (
            (world.tables, ("insert", "replace", "delete")),
            (world.queues, ("send",)),
            (world.blobs, ("put",)),
            (
                world.workspaces,
                (
                    "create_endpoint",
                    "create_deployment",
                    "set_traffic",
                    "delete_deployment",
                    "register_model",
                ),
            ),
            (world.targets, ("submit",)),
            (world.channels, ("send",)),
            (world.topics, ("publish",)),
        ):
            for name in names:
                label = f"{type(port).__name__}.{name}"
                setattr(port, name, self._watched(label, getattr(port, name)))

    def _watched(self, label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(label)
            number = len(self.calls)
            if self.kill_at == (number, "before"):
                raise Killed(label)
            result = call(*args, **kwargs)
            if self.kill_at == (number, "after"):
                raise Killed(label)
            return result

        return watched


def kill_at_every_call[T](
    play: Callable[[Kill], tuple[T, Ports]],
    check: Callable[[T, Ports], None],
    *,
    at_least: int,
    most: int | None = None,
) -> None:
    """Play a story with the process killed before and after each call of a port; check each end.

    A failure names the call. `at_least` is how many calls the story makes, so that none goes
    unwatched. `most` leaves out the calls after so many, where another story tries those.
    """
    calls = play(None)[1].calls
    assert len(calls) >= at_least, calls
    for number, call in enumerate(calls[:most], 1):
        for when in ("before", "after"):
            try:
                check(*play((number, when)))
            except BaseException as error:
                error.add_note(f"killed {when} call {number} of {len(calls)}, {call}")
                raise


def live_through(world: World, *events: dict[str, Any]) -> None:
    """Deliver events as Event Grid and the queues do: again, for as long as they are not taken."""
    pending: list[Callable[[], None]] = [
        lambda event=event: world.react.react(event) for event in events
    ]
    for _ in range(400):
        while pending:
            task = pending.pop(0)
            try:
                task()
            except Killed:
                world.start_app()
                world.clock.pass_time(timedelta(seconds=1))
                pending.append(task)  # the delivery was not acknowledged
        for text in world.queues.take(advance.QUEUE):
            pending.append(lambda text=text: world.rollouts.advance(text, redelivered=True))
        for text in world.queues.take("dead-letter"):
            pending.append(Replay(world, text))
        for text in world.queues.take(announcements.QUEUE):
            pending.append(lambda text=text: world.services.announcement_publisher.publish(text))
        if pending:
            continue
        queues = (advance.QUEUE, "dead-letter", announcements.QUEUE)
        waiting = [each for queue in queues for each in world.queues.waiting(queue)]
        if not waiting:
            return
        world.clock.time = max(world.clock.time, min(waiting)[0])
    raise AssertionError("it does not settle")


class Replay:
    """One message of a letter, handed out until it is taken."""

    def __init__(self, world: World, text: str) -> None:
        self._world = world
        self._text = text
        self._is_again = False

    def __call__(self) -> None:
        """Hand it out."""
        is_again, self._is_again = self._is_again, True
        letter = self._world.letters.due(self._text, redelivered=is_again)
        if letter is not None:
            self._world.react.replay(letter)
