"""The app with verbs for whatever can happen to its rollouts, also within a request of a tick."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.base.errors import (
    OrderImpossible,
    QuotaExceeded,
    SignalboxError,
    StorageUnavailable,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.journal import letters
from shared.journal.letters import Letter
from shared.rollouts.engine import advance
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.workspaces.model import Deployment, Endpoint, State
from tests.stories.kill import Killed, Replay
from tests.stories.rollouts_rules import ENDPOINT, KEY, READS, REQUEST_MOST, WRITES, Rules
from tests.stories.world import LEASE, WORKSPACE, World

#: Changes that somebody else makes at the endpoint.
DEEDS = (
    "splits it",
    "splits it",
    "gives one all",
    "gives none any",
    "mirrors",
    "deletes a deployment",
    "fails a deployment",
    "mends a deployment",
    "scales a deployment",
    "makes a deployment",
    "deletes the endpoint",
)
#: Failures of a request.
ERRORS: dict[str, type[SignalboxError]] = {
    "throttled": WorkspaceThrottled,
    "unreachable": WorkspaceUnreachable,
    "busy": WorkspaceBusy,
    "denied": WorkspaceDenied,
    "refused": WorkspaceRefused,
    "quota": QuotaExceeded,
}
#: Other events within a request.
EVENTS = (
    *("dies", "takes long", "other worker", "other worker later", "order abort", "order abort"),
    *(f"order {kind}" for kind in OrderKind),
)

PLACES = (*sorted(WRITES), *READS, "read_metrics", "write_row", "send")

#: Where, when, which time, what, and of what it is to choose which.
type Happening = tuple[str, str, int, str, int]


_ANSWERS = (OrderKind.RESUME, OrderKind.ABORT, OrderKind.APPROVE)


def words(rollout: Rollout) -> str:
    """Say what became of a rollout, for whoever has to find out why."""
    lines = [f"{one.at:%d %H:%M:%S} {one.phase} {one.text}" for one in rollout.history]
    name = f"{rollout.model.words} by {rollout.plan.strategy.name}, tick {rollout.schedule.tick}"
    return "\n  ".join([name, *lines, f"{rollout.work.trouble} {rollout.reason} {rollout.orders}"])


class Stage:
    """The app, its endpoint, and what is to happen; its rules are held against all of it."""

    def __init__(self, reactions: str) -> None:
        self.world = World(reactions)
        self.rules = Rules(self.world, self.interrupt)
        self.events: list[dict[str, Any]] = []
        self.versions = 0
        #: Messages that were handed out.
        self.handed: list[str] = []
        self._pending: list[Callable[[], None]] = []
        self._soon: list[Happening] = []
        #: The rollout that was gone on with last.
        self._at = ""
        self._deeds = 0

    # The app

    def register(self, strategy: str, how: str, step: int = 1) -> None:
        """Register a model."""
        self.versions = max(self.versions + step, 1)
        tags = {"deploy": how, "signalbox_rollout": strategy}
        event = self.world.register("churn", str(self.versions), **tags)
        self.events.append(event)
        self.deliver(event)

    def deliver(self, event: dict[str, Any]) -> None:
        """Have an event arrive."""
        self.attempt(lambda: self.world.react.react(event))

    def let_pass(self, span: timedelta) -> None:
        """Let time pass."""
        self.world.metrics.observe()
        self.world.clock.pass_time(span)

    def go_on(self, times: int, soon: Sequence[Happening] = ()) -> None:
        """Let time pass to what is due next, so many times, and do that; `soon` happens within."""
        self._soon = list(soon)
        for _ in range(times):
            self.hand_out()
            if waiting := self._waiting():
                self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))
        self.hand_out()
        self._soon = []

    def reach(self, phase: Phase) -> None:
        """Go on until a rollout stands there, or for a while."""
        for _ in range(25):
            self.hand_out()
            found = [one for one in self.rules.rollouts() if one.phase is phase]
            waiting = self._waiting()
            if found or waiting is None:
                self._at = found[-1].id if found else self._at
                return
            self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))

    def rollout(self, pick: int) -> Rollout:
        """Return the rollout that was gone on with last, or, for a pick from 4 on, any."""
        found = self.rules.rollouts()
        at = [one for one in found if one.id == self._at]
        return at[0] if at and pick < 4 else found[-1 - pick % len(found)]

    def settle(self) -> None:
        """Hand out what is due, and let time pass to the next, until there is none.

        Now and then there is a sweep, and somebody who decides whatever waits for that.
        """
        for turn in range(1_000):
            if turn % 20 == 19:
                self.world.sweep.run()
                self._decide()
            self.hand_out()
            self.rules.check()
            waiting = self._waiting()
            if waiting is None and not self._pending:
                return
            if waiting is not None:
                self.let_pass(max(waiting - self.world.clock.now(), timedelta(0)))
        left = [words(one) for one in self.rules.rollouts() if one.is_open]
        raise AssertionError("\n".join(left))

    def _decide(self) -> None:
        for rollout in self.rules.rollouts():
            if rollout.phase in (Phase.HELD, Phase.APPROVING):
                # Each time something else: what is only resumed may be held for ever.
                self.order(_ANSWERS[len(rollout.history) % len(_ANSWERS)], rollout)

    def hand_out(self, *, is_reversed: bool = False) -> None:
        """Hand out what is due, and what was not taken."""
        tasks, self._pending = self._pending, []
        for task in tasks:
            task()
        texts = self.world.queues.take(advance.QUEUE)
        self.handed = [*self.handed, *texts][-20:]
        for text in reversed(texts) if is_reversed else texts:
            self.advance(text)
        for text in self.world.queues.take(letters.QUEUE):
            self.attempt(Replay(self.world, text))

    def advance(self, text: str, *, redelivered: bool = False) -> None:
        """Hand out a message of a tick, which is delivered again if it is not taken."""

        def work(redelivered: bool = redelivered) -> None:
            self.rules.tick(
                json.loads(text)["rollout"],
                lambda: self.world.rollouts.advance(text, redelivered=redelivered),
            )

        try:
            work()
        except (Killed, StorageUnavailable):
            self.world.start_app()
            self._pending.append(lambda: self.attempt(lambda: work(True)))

    def attempt(self, task: Callable[[], None]) -> None:
        """Do something that the process may die at: it is done again later."""
        try:
            task()
        except (Killed, StorageUnavailable):
            self.world.start_app()
            self._pending.append(task)

    def reopen(self, letter: Letter) -> None:
        """Have a person replay a letter."""

        def reopen() -> None:
            self.world.letters.reopen(letter)

        self.attempt(reopen)

    def _waiting(self) -> datetime | None:
        """Return when the next message is due, or None."""
        queues = self.world.queues
        found = [*queues.waiting(advance.QUEUE), *queues.waiting(letters.QUEUE)]
        return min(found)[0] if found else None

    # Others

    def order(self, kind: OrderKind, rollout: Rollout, *, to_end: bool = False) -> None:
        """Tell a rollout something, possible or not."""
        order = Order(kind=kind, by="mia", why="so it is", at=self.world.clock.now(), to_end=to_end)

        def give() -> None:
            self.world.rollouts.order(rollout, order)

        try:
            self.rules.tick("", give)
        except (OrderImpossible, Killed, StorageUnavailable):
            return

    def somebody(self, deed: str, pick: int) -> None:
        """Do something at the endpoint; as anybody can, only while no operation runs."""
        there, endpoint = self.rules.deployments(), self.rules.endpoint()
        if deed == "makes the endpoint":
            self.world.workspaces.endpoints[KEY] = Endpoint(
                name=ENDPOINT, state=State.SUCCEEDED, auth_mode="key"
            )
            self.world.workspaces.deployments[KEY] = {}
            return
        if endpoint is None or not endpoint.state.is_settled:
            return
        if not all(found.state.is_settled for found in there.values()):
            return
        names = sorted(there)
        name = names[pick % len(names)] if names else ""
        other = names[(pick + 1) % len(names)] if names else ""
        self._deeds += 1
        try:
            self._do(deed, name, other)
        except WorkspaceRefused:
            return
        if name in self.rules.theirs and name in self.rules.deployments():
            self.rules.theirs[name] = self.rules.deployments()[name]

    def _do(self, deed: str, name: str, other: str) -> None:
        workspaces, there = self.world.workspaces, self.rules.deployments()
        where = (WORKSPACE, ENDPOINT)
        match deed:
            case "makes a deployment":
                name = f"blue-{self._deeds}"
                there[name] = self.rules.theirs[name] = Deployment(
                    name=name,
                    state=State.SUCCEEDED,
                    model=f"{WORKSPACE.id}/models/theirs/versions/1",
                    instance_count=2,
                )
            case "tags the endpoint":
                self.rules.their_tags = {"team": "churn"}
                found = workspaces.endpoints[KEY]
                tags = {**found.tags, **self.rules.their_tags}
                workspaces.endpoints[KEY] = replace(found, tags=tags)
            case "deletes the endpoint":
                workspaces.endpoints.pop(KEY)
                workspaces.deployments.pop(KEY)
                self.rules.theirs.clear()
                self.rules.their_tags.clear()
            case _ if not name:
                return
            case "deletes a deployment":
                workspaces.remove_deployment(*where, name)
                self.rules.theirs.pop(name, None)
            case "scales a deployment":
                workspaces.scale(*where, name, 1 + self._deeds % 3)
            case "fails a deployment":
                workspaces.fail_deployment(*where, name)
            case "mends a deployment":
                there[name] = replace(there[name], state=State.SUCCEEDED)

            case _:
                traffic, mirror = self._wanted(deed, name, other)
                workspaces.change_traffic(*where, traffic, mirror=mirror)
                self.rules.changed_by_somebody()

    def _wanted(self, deed: str, name: str, other: str) -> tuple[dict[str, int], dict[str, int]]:
        """Return the split and the mirror that somebody sets: none that a strategy would."""
        if deed == "mirrors":
            return self.rules.split()[0], {name: 7}
        if deed == "splits it" and name != other:
            return {name: 37, other: 63}, {}
        return {} if deed == "gives none any" else {name: 100}, {}

    # Events within requests

    def interrupt(self, name: str, when: str) -> None:
        """Let what is to happen within this request of a tick happen."""
        if len(self.rules.ticks) != 1 or not self.rules.ticks[0].rollout:
            return
        left: list[Happening] = []
        due: list[Happening] = []
        for place, moment, number, what, pick in self._soon:
            is_here = place in ("", name) and moment == when
            happening = (place, moment, number - is_here, what, pick)
            (due if not happening[2] else left).append(happening)
        self._soon = left
        for *_, what, pick in due:
            self._happen(name, what, pick)

    def _happen(self, name: str, what: str, pick: int) -> None:
        """Let something happen within a request."""
        acting = self.rules.ticks[0].rollout
        if what == "dies":
            raise Killed(name)
        if what in ERRORS:
            if name in ("write_row", "send"):
                raise StorageUnavailable("no answer")
            raise ERRORS[what]("so it is", retry_after=REQUEST_MOST)
        # A request that writes for longer than its worker has the tick to itself can't be kept from
        # it; the timeouts of its client do that.
        late = REQUEST_MOST if name in (*WRITES, "write_row") else 2 * LEASE
        if what == "takes long":
            self.let_pass(late)
        elif what.startswith("other worker"):
            self.let_pass(late if what.endswith("later") else timedelta(0))
            self.advance(json.dumps(self._message(acting)))
            self.hand_out(is_reversed=bool(pick % 2))
        elif what.startswith("order"):
            self._at = acting
            kind = OrderKind(what.removeprefix("order "))
            self.order(kind, self.rollout(pick), to_end=bool(pick % 2))
        else:
            self.somebody(what, pick)

    def _message(self, rollout_id: str) -> dict[str, Any]:
        (found,) = [one for one in self.rules.rollouts() if one.id == rollout_id]
        return {
            "v": 1,
            "endpoint": found.partition,
            "rollout": found.id,
            "tick": found.schedule.tick,
        }
