"""The parts of a story: the sandbox, the people, the screen, and checks that must hold."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from demo.customer import Customer
from demo.screen import Screen
from demo.stage import Channel
from demo.watch import Records, Watch
from demo.workspace import Workspace
from sandbox.stack import Stack
from shared.retraining.model import Loop
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout

_PAUSE = 0.25
#: Several times what the longest wait of a story takes on a slow machine.
PATIENCE = 45.0


class NotAsTold(Exception):
    """A story did not go as it was told; the message says what was seen instead."""


@dataclass(kw_only=True)
class Play:
    """The parts, and the verbs of the stories."""

    stack: Stack
    channel: Channel
    customer: Customer
    workspace: Workspace
    records: Records
    watch: Watch
    screen: Screen
    #: The app's.
    settings: Mapping[str, str]
    #: The last lines that the app logged.
    log: deque[str]
    #: How often many customers, at other times than the one, got each status.
    crowds: Counter[int] = field(default_factory=Counter)
    #: So many failures were a bad version's, which customers had to meet for it to be caught.
    excused: int = 0
    #: The subject of the present wait, or "".
    waiting: str = field(default="")

    def register(self, version: str, **tags: str) -> None:
        """Register a version of model churn, as a data scientist does."""
        tags = {"deploy": "true", **tags}
        shown = ", ".join(f"{name}={value}" for name, value in tags.items())
        self.screen.line("scientist", f"registers churn {version}, tagged {shown}")
        self.workspace.register("churn", version, tags)

    def until[T](self, what: str, find: Callable[[], T | None], *, within: float = PATIENCE) -> T:
        """Show what happens until there is what is looked for, and return it.

        Raises: NotAsTold when that takes longer than so many seconds.
        """
        self.waiting = what
        end = time.monotonic() + within
        while True:
            self.watch.look()
            if found := find():
                self.waiting = ""
                return found
            if time.monotonic() > end:
                raise NotAsTold(f"waited {within:g} s for this in vain: {what}")
            time.sleep(_PAUSE)

    def linger(self, seconds: float) -> None:
        """Show what happens for so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.watch.look()
            time.sleep(_PAUSE)

    def until_phase(self, version: str, phase: Phase) -> Rollout:
        """Show what happens until the rollout of a version has come to a phase; return it.

        Raises: NotAsTold when it ends elsewhere, or takes too long.
        """

        def find() -> Rollout | None:
            for rollout in self.rollouts_of(version):
                if any(moment.phase is phase for moment in rollout.history):
                    return rollout
                if rollout.phase.is_terminal:
                    reason = f": {rollout.reason}" if rollout.reason else ""
                    raise NotAsTold(f"churn {version} is {rollout.phase}, not {phase}{reason}")
            return None

        return self.until(f"churn {version} to be {phase}", find)

    def rollouts_of(self, version: str) -> list[Rollout]:
        """Return the rollouts of a version, as last seen."""
        return [each for each in self.watch.rollouts if each.model.version == version]

    def loop(self, monitor: str) -> Loop:
        """Return the loop over a monitor, as it is now; NotAsTold where there is none."""
        self.watch.look()
        for loop in self.watch.loops:
            if loop.monitor == monitor:
                return loop
        raise NotAsTold(f"there is no loop over {monitor}")

    def until_told(self, *titles: str) -> None:
        """Show what happens until the channel got messages with these titles."""
        self.until(
            f"the team to be told {titles}", lambda: set(titles) <= set(self.channel.titles())
        )

    def check(self, fact: str, holds: bool, saw: object = "") -> None:
        """Show a fact that was looked up just now; NotAsTold where it is none."""
        if not holds:
            self.screen.line("not so", fact)
            raise NotAsTold(f"this does not hold: {fact}" + (f"; instead: {saw}" if saw else ""))
        self.screen.line("checked", fact)

    def check_traffic(self, deployment: str) -> None:
        """Check that the workspace has all traffic on a deployment."""
        traffic = self.workspace.traffic("churn")
        fact = f"{deployment} has 100% of the endpoint's traffic"
        self.check(fact, traffic == {deployment: 100}, traffic)

    def check_serves(self, deployment: str, *, others: Mapping[str, str] | None = None) -> None:
        """Check that the workspace has all traffic on a deployment, and just these others."""
        self.check_traffic(deployment)
        found = self.workspace.deployments("churn")
        rest = {name: version for name, version in found.items() if name != deployment}
        beside = ", ".join(others or ()) or "nothing else"
        self.check(
            f"beside it: {beside}",
            deployment in found and rest == (others or {}),
            found,
        )

    def check_nothing_failed(self) -> str:
        """Check that every scoring request so far was answered; return how many there were."""
        failures = self.customer.failures
        fact = f"{self.customer.answered} scoring requests answered so far, none failed"
        self.check(fact, self.customer.answered > 0 and not failures, failures[:3])
        return fact

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Let the workspace's ARM answer 503 to everyone inside the block."""
        rule = self.stack.control.outage()
        self.screen.line("outage", "every ARM request is answered with 503, from now on")
        try:
            yield
        finally:
            self.stack.control.remove(rule)
        self.screen.line("outage", "over: the workspace answers again")

    def event_of(self, version: str) -> Mapping[str, Any]:
        """Return the event that told of a version of churn, as the workspace raised it."""
        subject = f"models/churn:{version}"
        events = [item["event"] for item in self.stack.control.events()]
        return next(event for event in events if event["subject"] == subject)

    def writes(self) -> list[str]:
        """Return what was asked of ARM so far that changes something."""
        return [
            f"{item['method']} {item['path']}"
            for item in self.stack.control.requests()
            if item["method"] != "GET"
        ]

    def seen(self) -> list[str]:
        """Return what there is to know when a story does not go as told."""
        lines = [
            f"rollout of churn {each.model.version}: {each.phase} since {_time(each.since)}"
            + (f"; {each.work.trouble or each.reason}" if each.work.trouble or each.reason else "")
            for each in self.watch.rollouts
        ]
        lines += [f"loop over {each.monitor}: {each.status}" for each in self.watch.loops]
        lines += [f"letter {each.id}: {each.status}; {each.reason}" for each in self.watch.letters]
        return [*lines, "the app's last log lines:", *(f"  {line[:300]}" for line in self.log)]


def _time(at: datetime) -> str:
    return f"{at:%H:%M:%S}"
