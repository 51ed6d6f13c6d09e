"""Golden requests as they are written: in `deploy` and in the steps of a strategy."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from shared.base.durations import Duration, between
from shared.schema.values import Values, check_file, unfit

if TYPE_CHECKING:
    from shared.rollouts.strategy.model import Probe

_PATH = re.compile(r"golden/[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*\.json")
_SHORTEST = timedelta(milliseconds=1)
#: No longer than a tick has its rollout to itself.
_LONGEST = timedelta(minutes=1)


def _check_path(path: str) -> str:
    if path and (_PATH.fullmatch(path) is None or ".." in path):
        raise ValueError("name a .json file below the app's golden/ folder: golden/churn.json")
    return path


def _check_has_request(output: str, info: ValidationInfo) -> str:
    if output and not info.data.get("request", output):
        raise unfit("is the answer to no request", "Name the golden `request` beside it.")
    return output


GoldenPath = Annotated[str, AfterValidator(_check_path), AfterValidator(check_file)]
ProbeTime = Annotated[Duration, between(_SHORTEST, _LONGEST)]


class ProbeParams(Values):
    """How a new deployment is proved before it gets traffic: the values of `strategy.Probe`."""

    request: GoldenPath = ""
    status: int = Field(default=200, ge=100, le=599)
    latency: ProbeTime | None = None
    output: Annotated[GoldenPath, AfterValidator(_check_has_request)] = ""
    tolerance: float = Field(default=1e-6, ge=0, le=1, allow_inf_nan=False)
    timeout: ProbeTime | None = None
    tries: int = Field(default=3, ge=1, le=20)

    def settle(self, request_timeout: timedelta | None = None) -> "Probe":
        """Return the probe; what is said of no time waits as long as the endpoint does, or 10 s."""
        from shared.rollouts.strategy.model import Probe, wait_for

        return Probe(**self.model_dump() | {"timeout": self.timeout or wait_for(request_timeout)})
