"""The limits of a reaction: `limit`, `cooldown` and `once_per`.

All three are one thing: at most so many starts within a span of time. `cooldown` allows one, and so
does `once_per`, for each value of its key.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from shared.base.durations import Duration, between
from shared.journal.starts import STARTS_MAX, StartLimit
from shared.reactions.model import KeyedLimits
from shared.reactions.templates import Template
from shared.schema.faults import read_values
from shared.schema.report import Place, Report
from shared.schema.values import LoadContext, Values
from shared.schema.wording import found

_LEAST, _MOST = timedelta(seconds=1), timedelta(days=90)
type _Span = Annotated[Duration, between(_LEAST, _MOST)]

#: The keys of a reaction that are read here.
LIMIT_KEYS = ("limit", "cooldown", "once_per")


class StartsParams(Values):
    """`limit`: the most starts within `per`, of the reaction or of each value of `key`."""

    starts: Annotated[int, Field(ge=1, le=STARTS_MAX, strict=True)]
    per: _Span
    key: str = ""


class OncePerParams(Values):
    """`once_per`: events of one key are one start within this time; the others are skipped."""

    key: Annotated[str, Field(min_length=1)]
    within: _Span


class CooldownParams(Values):
    """`cooldown`: the time after a start in which there is no other."""

    cooldown: _Span


def read_limits(
    data: Mapping[str, Any],
    place: Place,
    report: Report,
    context: LoadContext,
    compiled: Callable[[Any, Place], Any],
) -> tuple[KeyedLimits, ...]:
    """Return the limits of a reaction, as far as they can be read.

    `compiled` returns a text with its expressions compiled, and reports their mistakes. Limits of
    one key share a row, and so its requests. Those of the whole reaction come last, because a place
    there is the scarcest.
    """
    by_key: dict[str, tuple[Template | str, list[StartLimit]]] = {}

    def add(name: str, starts: int, per: timedelta, key: str) -> None:
        path = Place(place.reaction, (*place.path, name, "key"), place.on)
        template = compiled(key, path) if key else ""
        _, limits = by_key.setdefault(key, (template, []))
        limits.append(StartLimit(name=name, starts=starts, per=per))

    def read[V: Values](name: str, kind: type[V]) -> V | None:
        is_bare = kind is CooldownParams
        raw = data[name]
        if not is_bare and not isinstance(raw, Mapping):
            _report_bare(name, raw, place, report)
            return None
        values, faults = read_values(name, {name: raw} if is_bare else raw, kind, context)
        for fault in faults:
            path = fault.path if is_bare else (name, *fault.path)
            report.error(
                (*place.path, *path),
                fault.message,
                fault.hint,
                reaction=place.reaction,
                key=fault.is_of_key,
            )
        return values

    if "once_per" in data and (once := read("once_per", OncePerParams)) is not None:
        add("once_per", 1, once.within, once.key)
        if not isinstance(by_key[once.key][0], Template):
            message = "`once_per.key` is the same for every event"
            hint = "Make it from the event: `${{ … }}`. For all events alike there is `cooldown:`."
            where = (*place.path, "once_per", "key")
            report.error(where, message, hint, reaction=place.reaction)
    if "limit" in data and (limit := read("limit", StartsParams)) is not None:
        add("limit", limit.starts, limit.per, limit.key)
    if "cooldown" in data and (cooldown := read("cooldown", CooldownParams)) is not None:
        add("cooldown", 1, cooldown.cooldown, "")
    ordered = sorted(by_key.items(), key=lambda item: item[0] == "")
    return tuple(KeyedLimits(key=key, limits=tuple(limits)) for _, (key, limits) in ordered)


_FORMS = {
    "limit": "limit: {starts: 20, per: 1d}",
    "once_per": 'once_per: {key: "${{ … }}", within: 1d}',
}


def _report_bare(name: str, raw: Any, place: Place, report: Report) -> None:
    message = f"`{name}:` should be a mapping, found {found(raw)}"
    hint = f"Write `{_FORMS[name]}`."
    report.error((*place.path, name), message, hint, reaction=place.reaction)
