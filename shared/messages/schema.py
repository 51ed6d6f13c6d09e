"""The values under `messages:` of a reactions file."""

from typing import Annotated

from pydantic import Field

from shared.messages.notice import PER_HOUR, PER_HOUR_MOST
from shared.schema.values import Values


class Messages(Values):
    """How many messages a channel gets within an hour before the others are only counted."""

    per_hour: Annotated[int, Field(ge=1, le=PER_HOUR_MOST, strict=True)] = PER_HOUR
