"""The base of the two kinds of step that set a split, or a mirror beside it."""

from dataclasses import replace
from datetime import datetime

from shared.rollouts.deciding.decisions import Decision, SetTraffic, StepDone, Wait
from shared.rollouts.deciding.exits import WRITE_TRIES, fail, go_held, too_long
from shared.rollouts.deciding.observation import Observation, failure_in
from shared.rollouts.deciding.steps.step_decider import StepDecider
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import Split, is_same, leader, words_of
from shared.rollouts.state.tags import TAG_DEPLOYMENT, is_marked
from shared.rollouts.strategy.model import RolloutStep


class SplitStep(StepDecider):
    """Sets the split and the mirror that the step wants, and ends when they read back so."""

    sets_split = True

    def decide(
        self, rollout: Rollout, step: RolloutStep, seen: Observation, now: datetime
    ) -> Decision | StepDone:
        traffic, mirror = self.wanted(rollout, step, seen)
        serving = leader(traffic, rollout.stable)
        if _is_in_force(rollout, seen, traffic, mirror, serving):
            before = rollout.traffic
            is_known = before.is_as(traffic, mirror) and before.split_at is not None
            there = replace(
                before,
                split=dict(traffic),
                mirror=dict(mirror),
                split_at=before.split_at if is_known else now,
            )
            rollout = replace(rollout, traffic=there)
            return StepDone(rollout=rollout, reason=words_of(traffic, mirror))
        if failure := failure_in(seen):
            return fail(rollout, seen, f"traffic could not be set: {failure}")
        for name in traffic:
            if not seen.is_healthy(name):
                return _without_healthy(name, rollout, seen, now)
        if rollout.work.tries >= WRITE_TRIES:
            back = words_of(seen.traffic, seen.mirror)
            return fail(rollout, seen, f"traffic reads back as {back}")
        return SetTraffic(traffic=traffic, mirror=mirror, serving=serving)


def _is_in_force(
    rollout: Rollout, seen: Observation, traffic: Split, mirror: Split, serving: str
) -> bool:
    """Return whether the endpoint has the split and the mirror and, after the last, the tags."""
    assert seen.endpoint is not None  # in_step looked
    if not (is_same(seen.traffic, traffic) and is_same(seen.mirror, mirror)):
        return False
    is_last = is_same(traffic, rollout.traffic.goal) and is_marked(rollout, seen.endpoint)
    return not is_last or seen.endpoint.tags.get(TAG_DEPLOYMENT) == serving


def _without_healthy(name: str, rollout: Rollout, seen: Observation, now: datetime) -> Decision:
    """Wait for a deployment that is to get traffic and is not healthy, or hold."""
    found = seen.find(name)
    if found is not None and not found.state.is_settled:
        return too_long(rollout, now) or Wait(reason=f"{name} is {found.state}")
    state = f"is {found.state}" if found else "is not there"
    return go_held(rollout, f"{name} {state}, and can't be given traffic")
