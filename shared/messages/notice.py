"""A message to people: its text, and the channels that it is still to be sent to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: By default, the most messages of each of the two kinds that a channel gets within an hour.
PER_HOUR = 60
PER_HOUR_MOST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A message to a channel; `good` says whether it is good news, None if it is neither.

    `needs_person` says that somebody has to act on it, or to know of it soon.
    """

    title: str
    body: str
    good: bool | None
    needs_person: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message that is still to be sent, kept in the row of the thing that it is about.

    Its text is written when the thing happens, so one that is sent late says how things stood then.
    `attempts` counts the failed attempts by channel. All channels share one text, because a row has
    little room.
    """

    text: Text
    attempts: Mapping[str, int]


def notices_to(channels: Iterable[str], text: Text) -> tuple[Notice, ...]:
    """Return the message to these channels, or () where there are none."""
    attempts = dict.fromkeys(channels, 0)
    return (Notice(text=text, attempts=attempts),) if attempts else ()
