"""Words of findings: the nearest valid word, and the value or kind that was found."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from shared.base.redact import redact
from shared.base.words import flat, shortened

#: Longer values are cut in messages, and longer words have no nearest word.
LONGEST = 60
#: The least likeness of a word and its misspelling: part by part and then on the whole, or on the
#: whole alone. At two thirds `disabled` is `enabled`, and `condition` is `description`.
_NEAR, _NEAR_AS_A_WHOLE, _VERY_NEAR = 0.6, 0.7, 0.8
#: Names in other tools, and the names here.
_ELSEWHERE = {
    **dict.fromkeys(("if", "condition", "where", "filter"), "when"),
    **dict.fromkeys(("steps", "actions", "then"), "do"),
    **dict.fromkeys(("trigger", "event", "events"), "on"),
    **dict.fromkeys(("replicas", "instances"), "instance_count"),
    **dict.fromkeys(("vm_size", "sku"), "instance_type"),
}
#: Words that mean the opposite of a key, with that key and a hint.
_CONTRARY = {"disabled": ("enabled", "Write `enabled: false`.")}
#: The most words that are compared, and the most that are shown.
_CHOICES_MAX, _TOLD_MAX = 200, 40
ADDRESS_IN_FILE = "the address of a channel does not belong in this file"
ADDRESS_HINT = (
    "Put it into the app setting SIGNALBOX_CHANNEL_<NAME> and write the name here. Most addresses"
    " hold a secret: change it, since it was in a file."
)

TOPIC_ADDRESS_IN_FILE = "the endpoint of a topic does not belong in this file"
TOPIC_ADDRESS_HINT = "Put it into the app setting SIGNALBOX_TOPIC_<NAME> and write the name here."


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that was probably meant, or None.

    A choice that only shares a part means another thing: `timeout` is not a misspelt
    `request_timeout`.
    """
    best = max(choices, key=lambda choice: (_likeness(word, choice), choice), default=None)
    return best if best is not None and _likeness(word, best) else None


def _likeness(word: str, choice: str) -> float:
    """Return how much alike two words are, up to 1; 0 if one is no misspelling of the other."""
    one, two = (re.split(r"[_-]", text[:LONGEST].lower()) for text in (word, choice))
    whole = _ratio("".join(one), "".join(two))
    is_near = len(one) == len(two) and all(
        _ratio(*pair) >= _NEAR for pair in zip(one, two, strict=True)
    )
    is_near = is_near and whole >= _NEAR_AS_A_WHOLE
    return whole if is_near or whole >= _VERY_NEAR else 0


def _ratio(one: str, two: str) -> float:
    return SequenceMatcher(None, one, two).ratio()


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return a hint with the choice that was probably meant, else with every choice."""
    known = sorted(set(choices))[:_CHOICES_MAX]
    if word.lower() not in known:
        contrary, written = _CONTRARY.get(word.lower(), ("", ""))
        if contrary in known:
            return written
        if (choice := _ELSEWHERE.get(word.lower())) in known:
            return f"Did you mean `{choice}`?"
    meant = [
        choice for choice in known if len(word) > 2 and choice.lower().startswith(word.lower())
    ]
    meant = meant or [choice for choice in (nearest(word, known),) if choice is not None]
    if meant:
        return f"Did you mean {' or '.join(f'`{choice}`' for choice in meant)}?"
    if not known:
        return ""
    return "Valid here: " + ", ".join(f"`{choice}`" for choice in known[:_TOLD_MAX]) + "."


def printable(text: str) -> str:
    """Return the text without characters that could steer a terminal or spoil a log."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def cut(text: str) -> str:
    """Return the text, short enough for a message, on one line and without secrets."""
    return shortened(printable(flat(redact(text, most=10 * LONGEST))), LONGEST)


def kind_of_value(value: Any) -> str:
    """Return the kind of a value in the words of the reference page."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "something else"


def found(value: Any) -> str:
    """Return the words for a value in a message: a scalar itself, the kind of any other."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return cut(str(value)) if abs(value) < 1e300 else "a huge number"
    if isinstance(value, str):
        # The address of a channel holds a secret, and may have been written in the wrong place.
        scheme, is_address, _ = value.partition("://")
        return f"'{cut(scheme)}://…'" if is_address else f"'{cut(value)}'"
    return kind_of_value(value)


def value_and_kind(value: Any) -> str:
    """Return a value and its kind, for a message on the result of an expression."""
    if isinstance(value, bool | int | float | str):
        return f"{found(value)} ({kind_of_value(value)})"
    return kind_of_value(value)


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: `gates.latency[0].max`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return cut(text)
