"""The base of the kinds of step as they are done."""

from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import ClassVar

from shared.rollouts.deciding.decisions import Decision, StepDone
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import Split
from shared.rollouts.strategy.model import RolloutStep, StepKind
from shared.rollouts.strategy.steps.kinds import step_words

#: Between looks at a deployment that has traffic, where nothing else is to be looked at.
_WATCH = timedelta(hours=1)


class StepDecider(ABC):
    """Decides in the phase of one kind of step. A kind overrides only what is different for it."""

    kind: ClassVar[StepKind]
    #: Whether it sets a split or a mirror. Orders wait until a split that was begun is set.
    sets_split: ClassVar[bool] = False
    #: Whether the gates judge the new deployment while it lasts.
    judges_gates: ClassVar[bool] = False
    #: Whether it sends requests straight to the new deployment.
    sends_requests: ClassVar[bool] = False
    #: Whether its own values limit its time, instead of the plan's timeout.
    is_patient: ClassVar[bool] = False
    #: The order that a person gives to end it, None where it waits for nobody.
    awaits: ClassVar[OrderKind | None] = None
    #: The longest wait after a tick in trouble, None for the usual one.
    retry_most: ClassVar[timedelta | None] = None

    @abstractmethod
    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        """Return what the rollout does next in the step; endpoint and deployments are healthy."""

    def applies(self, rollout: Rollout, step: RolloutStep) -> bool:
        """Return whether the step has a purpose; most have none where nothing served before."""
        return bool(rollout.stable)

    def live_split(self, rollout: Rollout, step: RolloutStep) -> Split | None:
        """Return the split of live traffic that the step sets, None where it sets none."""
        return None

    def wanted(self, rollout: Rollout, step: RolloutStep, seen: Observation) -> tuple[Split, Split]:
        """Return the split and the mirror that have to be in force at the end of the step."""
        return rollout.traffic.split, rollout.traffic.mirror

    def instances(self, step: RolloutStep, stable: int) -> int:
        """Return how many instances the step gives the new deployment, 0 where it gives none."""
        return 0

    def shares(
        self, rollout: Rollout, step: RolloutStep, before: tuple[int, int]
    ) -> tuple[int, int]:
        """Return the new deployment's shares of the traffic, and of its copy, after the step."""
        return before

    def awaited(
        self, rollout: Rollout, step: RolloutStep, now: datetime
    ) -> tuple[str, timedelta | None]:
        """Say what the step waits for, and for how long at the most, None for no known time."""
        return "the service", None

    def coming(self, step: RolloutStep) -> str:
        """Say what happens when the rollout comes to the step."""
        return step_words(step)


def next_watch(rollout: Rollout, seen: Observation, wait: timedelta) -> timedelta:
    """Return when to look next, at the latest after `wait`.

    A deployment that has died must not keep its traffic for days.
    """
    return min(wait, _WATCH) if seen.live(rollout.deployment) else wait
