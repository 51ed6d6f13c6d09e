"""The values of `retrain` in a reaction."""

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from shared.events.model import EventType
from shared.reactions.model import Params
from shared.retraining.params import Mode, PolicyParams
from shared.retraining.targets import Input, TargetParams
from shared.schema.values import ChannelName, PlainName, Values

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,62}\.)+[a-z]{2,63}", re.IGNORECASE)


def _drop_null_inputs(inputs: object) -> object:
    """Leave out inputs that an expression made null: the target has its own defaults."""
    if not isinstance(inputs, Mapping):
        return inputs
    return {name: value for name, value in inputs.items() if value is not None}


Inputs = Annotated[dict[str, Input], BeforeValidator(_drop_null_inputs)]
#: Characters with a meaning to a shell or to a workflow's template, and a word that a command would
#: read as an option, unless it is a number.
_UNPLAIN = re.compile(r"[^\w .,:/@%+=-]|(?:(?<= )|\A)-+(?![\d. -]|\Z)\w?")


def _check_host(pattern: str) -> str:
    if _HOST.fullmatch(pattern) is None:
        raise ValueError("name a host, or all below a domain: `*.blob.core.windows.net`")
    return pattern


class AllowInputs(Values):
    """The inputs that may hold more than plain texts and assets of the workspace."""

    #: Hosts that an address among the inputs may name.
    hosts: tuple[Annotated[str, AfterValidator(_check_host)], ...] = ()
    #: Inputs whose text may have any character.
    free_text: tuple[str, ...] = ()


class RetrainParams(Params):
    """The values that `retrain` takes."""

    events = frozenset({EventType.DRIFT_DETECTED})
    is_single = True  # two would share the loops of the reaction
    hears_all = ("drift.state", "drift.signal")
    makes_runs = True

    target: TargetParams
    inputs: Inputs = Field(default_factory=dict)
    model: PlainName = Field(default="", max_length=255)
    mode: Mode = Mode.AUTO
    policy: PolicyParams = Field(default_factory=PolicyParams)
    allow: AllowInputs = Field(default_factory=AllowInputs)
    notify: tuple[ChannelName, ...] = ()

    @model_validator(mode="after")
    def _plain_inputs(self) -> Self:
        for name, value in self.inputs.items():
            if not isinstance(value, str) or name in self.allow.free_text:
                continue
            if odd := _UNPLAIN.search(value):
                raise ValueError(
                    f"input `{name}` has {odd[0]!a}, which may be taken for a command or an option;"
                    f" if the job quotes it, list `{name}` under `allow.free_text`"
                )
        return self
