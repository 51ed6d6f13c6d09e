"""How an endpoint's requests are shared out: what splits are allowed, and who gets the next."""

import random
from dataclasses import dataclass
from typing import Any

from sandbox.workspace.arm import Json, bad_argument
from sandbox.workspace.entities import Deployment, Endpoint

MOST_MIRRORED = 50


@dataclass(frozen=True, slots=True)
class Split:
    """The percentages of live and of mirrored requests, by deployment."""

    traffic: dict[str, int]
    mirror: dict[str, int]


NO_TRAFFIC = Split({}, {})


def parse_split(endpoint: Endpoint | None, properties: Json) -> Split:
    """Return the traffic and mirror traffic that a request asks for, or refuse it.

    The endpoint is None when the request is to create it.
    """
    traffic = _percentages(endpoint, properties.get("traffic"), "traffic", 100)
    mirror = _percentages(endpoint, properties.get("mirrorTraffic"), "mirrorTraffic", MOST_MIRRORED)
    if sum(traffic.values()) not in {0, 100}:
        total = sum(traffic.values())
        raise bad_argument(f"The traffic must add up to 0 or 100, not {total}.", "traffic")
    mirrored = [name for name, percent in mirror.items() if percent]
    if mirrored and endpoint and endpoint.compute:
        message = "Traffic of a Kubernetes endpoint cannot be mirrored."
        raise bad_argument(message, "mirrorTraffic")
    if len(mirrored) > 1:
        raise bad_argument("Traffic can be mirrored to one deployment only.", "mirrorTraffic")
    if mirrored and traffic.get(mirrored[0]):
        raise bad_argument(
            f"Deployment '{mirrored[0]}' cannot get live and mirrored traffic.", "mirrorTraffic"
        )
    return Split(traffic, mirror)


def choose(endpoint: Endpoint, chance: random.Random) -> Deployment | None:
    """Return the deployment that answers the next request; None when none has any weight."""
    weights = {name: percent for name, percent in endpoint.traffic.items() if percent}
    if not weights:
        return None
    name = chance.choices(list(weights), list(weights.values()))[0]
    return endpoint.deployments[name.lower()]


def choose_mirror(endpoint: Endpoint, chance: random.Random) -> Deployment | None:
    """Return the deployment that gets a copy of the next request, if any does."""
    for name, percent in endpoint.mirror.items():
        if percent and chance.random() * 100 < percent:
            return endpoint.deployments[name.lower()]
    return None


def _percentages(endpoint: Endpoint | None, given: Any, field: str, most: int) -> dict[str, int]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise bad_argument(f"'{field}' must be an object.", field)
    if endpoint is None and given:
        message = f"The {field} of a new endpoint must be empty: it has no deployments yet."
        raise bad_argument(message, field)
    deployments = endpoint.deployments if endpoint else {}
    percentages = {}
    for name, percent in given.items():
        if name.lower() not in deployments:
            message = f"The {field} names deployment '{name}', which does not exist."
            raise bad_argument(message, field)
        if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= most:
            message = f"The {field} of '{name}' must be a whole number from 0 to {most}."
            raise bad_argument(message, field)
        percentages[deployments[name.lower()].name] = percent
    return percentages
