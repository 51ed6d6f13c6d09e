"""Golden requests as they are written: in `deploy` and in the steps of a strategy."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from shared.base.durations import Duration, between
from shared.rollouts.strategy.model import LONGEST_WAIT, Probe, wait_for
from shared.schema.values import Values, check_file, example_of, unfit
from shared.schema.wording import found

_PATH = re.compile(r"golden/[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.json")
_SHORTEST = timedelta(milliseconds=1)
#: A probe without values: only its type states the defaults.
_USUAL = Probe()


def _check_path(path: str) -> str:
    if path and (_PATH.fullmatch(path) is None or ".." in path):
        raise unfit(
            f"should be a .json file below `golden/`, found {found(path)}",
            f"Write its path in the app: `golden/{example_of(path, '.json')}`.",
        )
    return path


def _check_has_request(output: str, info: ValidationInfo) -> str:
    if output and not info.data.get("request", output):
        raise unfit("is the answer to no request", "Name the golden `request` beside it.")
    return output


GoldenPath = Annotated[str, AfterValidator(_check_path), AfterValidator(check_file)]
ProbeTime = Annotated[Duration, between(_SHORTEST, LONGEST_WAIT)]


class ProbeParams(Values):
    """How a new deployment is proved before it gets traffic: the values of `strategy.Probe`."""

    request: GoldenPath = _USUAL.request
    status: int = Field(default=_USUAL.status, ge=100, le=599)
    latency: ProbeTime | None = _USUAL.latency
    output: Annotated[GoldenPath, AfterValidator(_check_has_request)] = _USUAL.output
    tolerance: float = Field(default=_USUAL.tolerance, ge=0, le=1, allow_inf_nan=False)
    timeout: ProbeTime | None = _USUAL.timeout
    tries: int = Field(default=_USUAL.tries, ge=1, le=20)

    def settle(self, request_timeout: timedelta | None = None) -> Probe:
        """Return the probe; without a `timeout` it waits as long as the endpoint does, or 10 s."""
        return Probe(**self.model_dump() | {"timeout": self.timeout or wait_for(request_timeout)})
