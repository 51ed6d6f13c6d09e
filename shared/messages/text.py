"""A message as a channel takes it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is sent to a channel; `good` says whether it is good news, None where it is neither."""

    title: str
    body: str
    good: bool | None
