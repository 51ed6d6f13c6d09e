"""The values of `retrain` in a reaction."""

from typing import Self

from pydantic import Field, model_validator

from shared.actions.inputs import AllowInputs, Inputs, check_inputs_plain
from shared.events.model import EventType
from shared.reactions.model import Params
from shared.retraining.params import Mode, PolicyParams
from shared.retraining.targets import ReadyTarget
from shared.schema.values import ChannelName, PlainName


class RetrainParams(Params):
    """The values that `retrain` takes."""

    events = frozenset({EventType.DRIFT_DETECTED})
    is_single = True  # two would share the loops of the reaction
    hears_all = ("drift.state", "drift.signal")
    makes_runs = True

    target: ReadyTarget
    inputs: Inputs = Field(default_factory=dict)
    model: PlainName = Field(default="", max_length=255)
    mode: Mode = Mode.AUTO
    policy: PolicyParams = Field(default_factory=PolicyParams)
    allow: AllowInputs = Field(default_factory=AllowInputs)
    notify: tuple[ChannelName, ...] = ()

    @model_validator(mode="after")
    def _plain_inputs(self) -> Self:
        check_inputs_plain(self.inputs, self.allow)
        return self
