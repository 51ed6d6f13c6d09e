"""The values of `publish` in a reaction."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue

from shared.reactions.model import Params
from shared.schema.values import TopicName, unfit

_TYPE = re.compile(r"[A-Za-z][\w.-]{0,255}", re.ASCII)
#: Types that begin so are Azure's, or the app's own.
_RESERVED = ("microsoft.", "signalbox.")
_SUBJECT_MAX = 1_000


def _check_type(name: str) -> str:
    if name.lower().startswith(_RESERVED):
        raise unfit(
            "can't begin with `Microsoft.` or `Signalbox.`",
            "Those are events of Azure and of this app. Begin with a name of your own, such as"
            " `Contoso.ModelLive`.",
        )
    if _TYPE.fullmatch(name) is None:
        raise unfit(
            "should be letters, digits, `.`, `_` and `-`, a letter first, at most 256 characters",
            "Write it like `Contoso.ModelLive`.",
        )
    return name


def _check_subject(subject: str) -> str:
    if len(subject) > _SUBJECT_MAX:
        raise unfit(f"should have at most {_SUBJECT_MAX:,} characters", "")
    return subject


class PublishParams(Params):
    """The values that `publish` takes."""

    topic: TopicName
    type: Annotated[str, AfterValidator(_check_type)]
    subject: Annotated[str, AfterValidator(_check_subject)] = ""
    data: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
