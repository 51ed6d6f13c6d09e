"""`channels:` of a reactions file: the channels that reactions may name."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from shared.reactions.model import Reaction, channels_in
from shared.reactions.templates import OPEN
from shared.schema.faults import describe_channel
from shared.schema.report import Report
from shared.schema.values import LoadContext
from shared.schema.wording import ADDRESS_IN_FILE, address_hint, found, is_address

CHANNEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def read_channels(items: list[Any], report: Report) -> tuple[str, ...]:
    """Return the names of the channels, each once; every mistake goes to the report."""
    names: dict[str, None] = {}
    for index, item in enumerate(items):
        path = ("channels", index)
        if addresses := [*filter(is_address, texts_in(item))]:
            given = item if isinstance(item, dict) else ()
            report.error(path, ADDRESS_IN_FILE, address_hint(addresses, given))
        elif not isinstance(item, str) or not CHANNEL.fullmatch(item):
            message = f"a channel can't be called {found(item)}"
            hint = "Lower-case letters, digits, - and _, a letter first."
            report.error(path, message, hint)
        elif item in names:
            first = report.where(("channels", items.index(item)))
            message = f"channel '{item}' is here twice, first {first}"
            report.error(path, message, "Remove one.")
        else:
            names[item] = None
    return tuple(names)


def warn_of_channels(
    channels: tuple[str, ...], always: tuple[str, ...], report: Report, context: LoadContext
) -> None:
    """Warn of channels that nothing names, and of those whose settings are not usable.

    `always` are the channels that hear of every letter, also where no reaction names them.
    """
    used = context.named | set(always)
    # Only events decide which channels an expression names.
    is_open = any(OPEN in name for name in used)
    for index, name in enumerate(channels):
        path = ("channels", index)
        if name not in used and not is_open:
            if report.has_errors:  # an unreadable part may name it
                continue
            hint = "Remove it, or name it in a reaction."
            report.warn(path, f"no reaction uses channel '{name}'", hint)
        elif fault := context.find_channel_fault(name):
            report.warn(path, *fault)


def warn_of_silence(
    reactions: Iterable[Reaction],
    channels: tuple[str, ...],
    always: tuple[str, ...],
    report: Report,
) -> None:
    """Warn of a reaction whose parked letters nobody hears of, if the file has channels.

    `always` are the channels that hear of every letter.
    """
    if always or not channels or report.has_errors:
        return
    silent = [item.name for item in reactions if item.enabled and not channels_in(item)]
    if silent:
        others = f" and {len(silent) - 1} more" if silent[1:] else ""
        message = f"nobody is told if '{silent[0]}'{others} fails for good"
        hint = "Write `defaults: {notify: {channel: …}}`, or `notify` in the reaction."
        report.warn(("reactions",), message, hint, key=True)


def channels_of_defaults(defaults: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the channels that `defaults` has for `notify`."""
    channel = defaults.get("notify", {}).get("channel", ())
    names = [channel] if isinstance(channel, str) else channel
    return tuple(name for name in names if isinstance(name, str) and OPEN not in name)


def refuse_unknown_channels(
    always: tuple[str, ...], channels: tuple[str, ...], report: Report
) -> None:
    """Refuse channels of `defaults.notify` that the file does not declare.

    Steps that name channels of their own leave them unread, and letters are sent to them.
    """
    for name in always:
        if name not in channels:
            report.error(("defaults", "notify", "channel"), *describe_channel(name, channels))


def texts_in(item: Any) -> Iterable[str]:
    """Yield a text, or those in a mapping."""
    parts = item.values() if isinstance(item, dict) else [item]
    yield from (part for part in parts if isinstance(part, str))
