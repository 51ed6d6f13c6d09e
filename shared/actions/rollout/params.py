"""The values of `rollout` in a reaction."""

from typing import Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from shared.actions.allowed import guarded_by
from shared.reactions.model import Params
from shared.schema.values import AnyName, LoadContext, PlainName, Values


class AllowOrder(Values):
    """Globs of the values that tags and properties may choose in an expression, by field."""

    order: tuple[str, ...] = ()
    endpoint: tuple[str, ...] = ()
    model: tuple[str, ...] = ()


class OrderRolloutsParams(Params):
    """The values that `rollout` takes; `endpoint`, `model` or both say which rollouts are meant."""

    guarded = guarded_by(AllowOrder)

    order: Literal["abort", "pause", "resume", "promote"]
    endpoint: PlainName = Field(default="", max_length=255)
    model: AnyName = Field(default="", max_length=255)
    why: str = ""
    to_end: bool = False
    even_live: bool = True
    allow: AllowOrder = Field(default_factory=AllowOrder)

    @model_validator(mode="after")
    def _check_names_rollouts(self, info: ValidationInfo) -> Self:
        # An expression may give "", as `alert.endpoint` does where the alert is of no endpoint.
        is_written = isinstance(info.context, LoadContext)
        named = self.model_fields_set & {"endpoint", "model"}
        if not named or (is_written and not all(getattr(self, name) for name in named)):
            raise ValueError("say which rollouts are meant: give `endpoint`, `model` or both")
        return self

    @model_validator(mode="after")
    def _check_goes_to_end(self) -> Self:
        if self.to_end and self.order != "promote":
            raise ValueError(f"`to_end` is of `promote` only, and the order is `{self.order}`")
        return self
