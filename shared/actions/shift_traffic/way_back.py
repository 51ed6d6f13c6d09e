"""The deployments that `to: previous` and `to: stable` mean on an endpoint."""

from collections.abc import Collection, Iterable

from shared.base.errors import NoWayBack
from shared.rollouts.state.phases import UNDECIDED
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.served import served_on
from shared.rollouts.state.splits import leader
from shared.rollouts.state.tags import TAG_DEPLOYMENT
from shared.workspaces.model import Deployment, Endpoint, State

PREVIOUS, STABLE = "previous", "stable"


def is_way_back(to: str, deployments: Collection[Deployment]) -> bool:
    """Say whether `to` means one of the two, and no deployment of that very name."""
    return to in (PREVIOUS, STABLE) and not any(found.name.lower() == to for found in deployments)


def find_meant(
    to: str,
    endpoint: Endpoint,
    deployments: Collection[Deployment],
    rollouts: Iterable[Rollout],
) -> str:
    """Return the name of the deployment that is meant; it is there and healthy.

    `rollouts` are those of the endpoint, ended ones too. Raises: NoWayBack.
    """
    known = tuple(rollouts)
    open_one = next((rollout for rollout in known if rollout.phase in UNDECIDED), None)
    if open_one is not None:
        raise NoWayBack(
            f"rollout {open_one.id[:8]} of {open_one.model.words or open_one.deployment} is under"
            " way, so it is not settled what serves; the action `rollout` can abort it"
        )
    settle = _stable if to == STABLE else _previous
    name = settle(endpoint, served_on(known))
    found = next((item for item in deployments if item.name.lower() == name.lower()), None)
    if found is None:
        raise NoWayBack(f"{name} is meant, and is no longer on the endpoint")
    if found.state is not State.SUCCEEDED:
        raise NoWayBack(f"{name} is meant, and is {found.state}, not healthy")
    return found.name


def _previous(endpoint: Endpoint, served: tuple[str, ...]) -> str:
    serving = leader(endpoint.traffic)
    if not served or served[-1].lower() != serving.lower():
        raise NoWayBack(f"no rollout of the endpoint says how {serving or 'nothing'} came to serve")
    if len(served) < 2:
        raise NoWayBack(f"no rollout of the endpoint says what served before {serving}")
    return served[-2]


def _stable(endpoint: Endpoint, served: tuple[str, ...]) -> str:
    name = served[-1] if served else endpoint.tags.get(TAG_DEPLOYMENT, "")
    if not name:
        raise NoWayBack("neither a rollout nor a tag of the endpoint says what is to serve")
    return name
