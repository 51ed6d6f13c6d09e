"""The deployments that served on an endpoint, one after the other, by its rollouts. Pure."""

from collections.abc import Iterable
from datetime import datetime

from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import leader

#: The phases of a rollout whose split has come into force and was not taken back.
_IN_FORCE = frozenset({Phase.LIVE, Phase.RETIRING, Phase.DONE})


def served_on(rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Return the deployments that served on an endpoint, the present one last.

    A rollout that goes back, as `to: previous` does, takes off what it went back from. So two
    alerts never bring the bad deployment back, and a second step back goes to the one before.
    Where a rollout found another deployment than the last one serve, somebody else had moved the
    traffic, and nothing is known of the time before.
    """
    names: list[str] = []
    for rollout in sorted(filter(_is_in_force, rollouts), key=_came_at):
        came, left = leader(rollout.traffic.goal), rollout.stable
        spelled = [name.lower() for name in names]
        if rollout.goes_back and came.lower() in spelled:
            del names[spelled.index(came.lower()) + 1 :]
        elif rollout.goes_back or not left or left.lower() == came.lower():
            names = names if spelled[-1:] == [came.lower()] else [came]
        else:
            names = [*(names if spelled[-1:] == [left.lower()] else [left]), came]
    return tuple(names)


def _is_in_force(rollout: Rollout) -> bool:
    return rollout.phase in _IN_FORCE


def _came_at(rollout: Rollout) -> datetime:
    lives = (moment.at for moment in rollout.history if moment.phase is Phase.LIVE)
    return max(lives, default=rollout.since)
