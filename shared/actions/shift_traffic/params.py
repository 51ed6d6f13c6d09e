"""The values of `shift_traffic` in a reaction."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.actions.allowed import guarded_by
from shared.actions.deploy.params import FittingRollout, PhaseTime
from shared.base.ids import is_legal_name
from shared.reactions.model import Params
from shared.rollouts.strategy.names import RolloutGlob
from shared.rollouts.strategy.probe_schema import ProbeParams
from shared.schema.quantities import WRITTEN_PERCENT, whole_percent
from shared.schema.values import ChannelName, PlainName, Values, unfit


def _check_deployment(name: str) -> str:
    if not is_legal_name(name):
        raise ValueError("name a deployment: 3 to 32 letters, digits and single dashes")
    return name


def _check_version(version: str, info: ValidationInfo) -> str:
    if version and info.data.get("to"):
        raise unfit("can't stand beside `to`", "Keep one of them.")
    return version


def _check_split(split: dict[str, int], info: ValidationInfo) -> dict[str, int]:
    """Check a split by itself, and with the other values of the action."""
    ways = [info.data.get(name) for name in ("to", "to_version")]
    if None in ways:
        return split  # one of them is wrong, and is reported first
    if not split:
        if not any(ways):
            hint = "Or give `to` or `to_version`: one deployment, for all traffic."
            raise PydanticCustomError("missing", "missing", {"hint": hint})
        return split
    if any(ways):
        raise unfit("can't stand beside `to` or `to_version`", "Keep one of them.")
    if len({name.lower() for name in split}) < len(split):
        raise unfit("names a deployment twice", "In AML, casing tells no names apart.")
    if sum(split.values()) != 100:
        raise unfit(f"should add up to 100%, found {sum(split.values())}%")
    if info.data.get("kind") == "batch" and max(split.values()) < 100:
        raise unfit(
            "can't share traffic on batch endpoints", "Name the default deployment with `to`."
        )
    return split


DeploymentName = Annotated[str, AfterValidator(_check_deployment)]
Share = Annotated[int, BeforeValidator(whole_percent(0, 100)), WRITTEN_PERCENT]
Shares = Annotated[dict[DeploymentName, Share], AfterValidator(_check_split)]


class AllowShift(Values):
    """Globs of the values that tags and properties may choose in an expression, by field."""

    endpoint: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    to_version: tuple[str, ...] = ()
    probe_request: tuple[str, ...] = ()
    rollout: tuple[RolloutGlob, ...] = ()


class ShiftTrafficParams(Params):
    """The values that `shift_traffic` takes; exactly one of `to`, `to_version` and `split`."""

    # `to` lists the names in a split as well.
    guarded = guarded_by(AllowShift, {"split": "to"})

    endpoint: PlainName = Field(min_length=1, max_length=255)
    kind: Literal["managed", "kubernetes", "batch"] = "managed"
    to: DeploymentName = ""
    to_version: Annotated[str, AfterValidator(_check_version)] = Field(default="", max_length=255)
    split: Shares = Field(default_factory=dict, validate_default=True)
    rollout: FittingRollout = "all-at-once"
    probe: ProbeParams = Field(default_factory=ProbeParams)
    timeout: PhaseTime = timedelta(hours=1)
    notify: tuple[ChannelName, ...] = ()
    allow: AllowShift = Field(default_factory=AllowShift)
