"""The values of `start` in a reaction."""

from datetime import timedelta
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from shared.actions.inputs import AllowInputs, Inputs, check_inputs_plain
from shared.reactions.model import Params
from shared.retraining.params import RunTime
from shared.retraining.targets import ReadyTarget, TargetParams
from shared.schema.values import ChannelName


class AllowStart(AllowInputs):
    """Inputs that may be more than plain, and globs of what a tag may choose within `target`."""

    target: tuple[str, ...] = ()


class StartParams(Params):
    """The values that `start` takes."""

    makes_runs = True
    # The body and the headers of a webhook are data that goes to one's own address.
    guarded = MappingProxyType(
        {f"target.{name}": "target" for name in TargetParams.model_fields if name != "webhook"}
        | {"target.webhook.name": "target"}
    )

    target: ReadyTarget
    inputs: Inputs = Field(default_factory=dict)
    at_once: int = Field(default=5, ge=1, le=100)
    when_full: Literal["wait", "skip"] = "wait"
    timeout: RunTime = timedelta(days=1)
    allow: AllowStart = Field(default_factory=AllowStart)
    notify: tuple[ChannelName, ...] = ()

    @model_validator(mode="after")
    def _plain_inputs(self) -> Self:
        check_inputs_plain(self.inputs, self.allow)
        return self
