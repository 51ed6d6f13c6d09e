"""A world in which versions roll out by a strategy, with verbs for it and for what can be seen."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

from shared.events.model import Workspace
from shared.journal.outcomes import Outcome
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import is_same
from shared.rollouts.strategy.model import StepKind
from shared.twins.storage import MemoryChannels
from shared.workspaces.model import DeploymentSpec, Endpoint, EndpointKind, Operation, State
from tests.stories.world import WORKSPACE, World

STEP = "deploy/deploy"
WHERE = (WORKSPACE, "churn")
_OURS = re.compile(r"churn-v(\w+)-[0-9a-f]{6}")
_SPLIT = re.compile(r"\w+ \d+%(, (mirrored )?\w+ \d+%)*")

ROLLING = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: deploy
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy:
          endpoint: churn
          notify: [team]
          keep_old: 30m
          allow: {{rollout: ["*"]}}
"""


class Rolling(World):
    """A world with one reaction that deploys, on operations that take two minutes."""

    def __init__(
        self,
        rollout: str = "canary",
        *,
        strategies: str = "",
        more: str = "",
        kind: str = "managed",
        **deploy: str,
    ) -> None:
        """Roll out by the strategy; `strategies` stand under `rollouts:`, one or more lines.

        `more` are the lines of further reactions.
        """
        size = {"instance_type": "Standard_DS3_v2"} if kind == "managed" else {}
        values = {"rollout": rollout, "kind": kind} | size | deploy
        lines = "".join(f"          {name}: {value}\n" for name, value in values.items())
        super().__init__(
            ROLLING + lines + more + (f"rollouts:\n{strategies}" if strategies else "")
        )
        self.workspaces.behaviour.takes = timedelta(minutes=2)
        #: The splits that Signalbox asked for, in order, by version.
        self.writes: list[dict[str, int]] = []
        self._set_traffic = self.workspaces.set_traffic
        self.workspaces.set_traffic = self._watched  # type: ignore[assignment, method-assign]
        self.kind = EndpointKind(kind)
        self.key = (WORKSPACE.key, "batch/churn" if self.kind is EndpointKind.BATCH else "churn")

    def _watched(
        self,
        where: Workspace,
        endpoint: Endpoint,
        traffic: Mapping[str, int],
        *rest: Any,
        **more: Any,
    ) -> Operation:
        done = self._set_traffic(where, endpoint, traffic, *rest, **more)
        self.writes.append(self._by_version(traffic))
        return done

    # Events

    def roll_out(self, version: str, **tags: str) -> Rollout:
        """Register a version and let its rollout begin."""
        self.react.react(self.register("churn", version, **({"deploy": "true"} | tags)))
        return self.rollout(version)

    def serve(self, version: str = "1") -> "Rolling":
        """Have a version serve, for long enough to be compared with."""
        self.roll_out(version, signalbox_rollout="all-at-once")
        self.settle()
        assert self.traffic(version) == {version: 100}
        self.run(timedelta(minutes=45))
        self.channels = MemoryChannels()
        self.start_app()
        self.writes.clear()
        return self

    def take_over(self, **shares: int) -> "Rolling":
        """Have somebody make the endpoint, with a deployment for each share, named for it."""
        self.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
        self.run(timedelta(minutes=2))
        for name in shares:
            model = f"{WORKSPACE.id}/models/churn/versions/{name}"
            spec = DeploymentSpec(model_id=model, instance_type="Standard_DS3_v2", instance_count=1)
            self.workspaces.create_deployment(WORKSPACE, "churn", name, spec)
            self.run(timedelta(minutes=2))
        self.move(**shares)
        self.run(timedelta(minutes=45))
        return self

    def move(self, **shares: int) -> None:
        """Have somebody set the split, by version: `v1=30` or, of what has no version, its name."""
        self.workspaces.change_traffic(WORKSPACE, "churn", self._named(shares), kind=self.kind)
        self.metrics.observe()

    def mend(self, version: str) -> None:
        """Have somebody make a deployment well."""
        self.set_state(version, State.SUCCEEDED)

    def set_state(self, version: str, state: State) -> None:
        """Have a deployment be in a state that nobody here brought it to."""
        found, name = self.workspaces.deployments[self.key], self.name(version)
        found[name] = replace(found[name], state=state)

    def resize(self, version: str, instances: int) -> None:
        """Have somebody give a deployment so many instances."""
        found, name = self.workspaces.deployments[self.key], self.name(version)
        found[name] = replace(found[name], instance_count=instances)

    def run(self, span: timedelta) -> None:
        """Let so much time pass, and do what is due in it."""
        end = self.clock.now() + span
        self._go_on(until=lambda: (due := self.next_due()) is None or due > end)
        self.metrics.observe()
        self.clock.time = end

    def go_to(self, phase: Phase, version: str = "2", *, step: int | None = None) -> Rollout:
        """Let happen what happens until a rollout is in a phase, at a step if one is named."""

        def is_there() -> bool:
            found = self.rollout(version)
            return found.phase is phase and step in (None, found.step)

        self._go_on(until=is_there)
        return self.rollout(version)

    def _go_on(self, until: Callable[[], bool]) -> None:
        """Go on no further than until then: unlike `settle`, not to the time of what comes next."""
        for _ in range(1000):
            self.deliver()
            if until():
                return
            due = self.next_due()
            assert due is not None, [(r.phase, r.step, r.reason) for r in self.all_rollouts()]
            self.metrics.observe()
            self.clock.time = max(self.clock.time, due)
        raise AssertionError("it does not come to that")

    def order(
        self, kind: OrderKind, version: str = "2", *, why: str = "", to_end: bool = False
    ) -> None:
        """Have Ada give an order."""
        order = Order(kind=kind, by="ada", why=why, at=self.clock.now(), to_end=to_end)
        self.rollouts.order(self.rollout(version), order)

    def during(self, request: str, do: Callable[[], object], *, nth: int = 1) -> list[str]:
        """Do something inside the nth request of a name; return the list that says it was done."""
        seen: list[str] = []

        def before(name: str) -> None:
            if name == request and len(seen) < nth:
                seen.append(name)
                if len(seen) == nth:
                    do()

        self.workspaces.before = before
        return seen

    # Observations

    def rollout(self, version: str = "2") -> Rollout:
        """Return the latest rollout of a version."""
        return [found for found in self.all_rollouts() if found.model.version == version][-1]

    def live(self) -> dict[str, int]:
        """Return the live split by version, as the endpoint has it."""
        return self._by_version(self.workspaces.endpoints[self.key].traffic)

    def mirrored(self) -> dict[str, int]:
        """Return the mirrored shares by version, as the endpoint has them."""
        return self._by_version(self.workspaces.endpoints[self.key].mirror)

    def traffic(self, version: str = "2") -> dict[str, int]:
        """Return the live split by version, which has to be the one that its rollout reports."""
        endpoint, rollout = self.workspaces.endpoints[self.key], self.rollout(version)
        assert is_same(rollout.traffic.split, endpoint.traffic), (
            rollout.traffic.split,
            endpoint.traffic,
        )
        assert is_same(rollout.traffic.mirror, endpoint.mirror), (
            rollout.traffic.mirror,
            endpoint.mirror,
        )
        return self.live()

    def name(self, version: str) -> str:
        """Return the deployment of a version; a name that is none's is a deployment's itself."""
        names = self.workspaces.deployments.get(self.key, {})
        return next((name for name in names if version_of(name) == version), version)

    def left(self) -> dict[str, State]:
        """Return the state of what is on the endpoint, by version."""
        found = self.workspaces.deployments[self.key].values()
        return {version_of(item.name): item.state for item in found}

    def result(self, version: str = "2") -> Outcome:
        """Return the outcome on record for the event of a version."""
        return self.outcome_of(f"churn:{version}", STEP)

    def texts(self, version: str = "2") -> list[str]:
        """Return what a rollout's history says, line by line."""
        return [spoken(moment.text) for moment in self.rollout(version).history]

    def text(self, title: str) -> str:
        """Return the text of the only message of that title."""
        (text,) = (message.text for message in self.channels.sent if message.title == title)
        return text

    def phases(self, version: str = "2") -> list[Phase]:
        """Return the phases that a rollout went through, in order."""
        told = self.rollout(version).history
        return [moment.phase for moment in told if not moment.text.startswith("came too late")]

    def time_in(self, phase: Phase, version: str = "2") -> timedelta:
        """Return how long a rollout was in a phase, in all."""
        told = self.rollout(version).history
        spans = (after.at - before.at for before, after in pairwise(told) if before.phase is phase)
        return sum(spans, timedelta(0))

    def measured(self, version: str = "2") -> tuple[Measurement, ...]:
        """Return what was measured in a rollout, without the proofs before it began."""
        found = self.rollouts.store.measurements(self.rollout(version).id)
        return tuple(measurement for measurement in found if measurement.step >= 0)

    def told_of(self, phase: Phase, version: str = "2") -> list[str]:
        """Return what a rollout's history says of the times at which it came to a phase."""
        found = (moment for moment in self.rollout(version).history if moment.phase is phase)
        return [spoken(moment.text) for moment in found]

    def splits(self, version: str = "2") -> list[str]:
        """Return the splits that a rollout came to, in order, as its history has them."""
        return [text for text in self.texts(version) if _SPLIT.fullmatch(text)]

    def _by_version(self, shares: Mapping[str, int]) -> dict[str, int]:
        return {version_of(name): share for name, share in shares.items() if share}

    def _named(self, shares: Mapping[str, int]) -> dict[str, int]:
        return {self.name(key.removeprefix("v")): share for key, share in shares.items()}


def version_of(deployment: str) -> str:
    """Return the version that a deployment's name tells, or the name itself."""
    return _OURS.sub(r"\1", deployment)


def spoken(text: str) -> str:
    """Return a text with `v2` in place of the name of version 2's deployment."""
    return _OURS.sub(r"v\1", text)


def at(world: Rolling, kind: StepKind, nth: int = 1, version: str = "2") -> int:
    """Return the index of the nth step of a kind in the strategy of a rollout."""
    steps = world.rollout(version).plan.strategy.steps
    return [index for index, step in enumerate(steps) if step.kind is kind][nth - 1]
