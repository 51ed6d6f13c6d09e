"""Words of findings: the nearest valid word, and the value or kind that was found."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Any

from shared.base.redact import MARK, redact
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
    "max_increase": "max_ratio",
}
#: Words that mean the opposite of a key, with that key and a hint.
_CONTRARY = {"disabled": ("enabled", "Write `enabled: false`.")}
#: The most words that are compared, and the most that are shown.
_CHOICES_MAX, _TOLD_MAX = 200, 40
ADDRESS_IN_FILE = "the address of a channel does not belong in this file"
#: Characters that an address has, with its scheme or without, and a name has not.
_ADDRESS = re.compile(r"[/:@](?=.)")
#: Parts of addresses, and the usual name of the channel.
_SERVICES = {
    **dict.fromkeys(("office.com", "msteams:", "logic.azure.com", "powerplatform.com"), "teams"),
    **dict.fromkeys(("workflow:", "workflows:"), "teams"),
    **dict.fromkeys(("mailto", "@"), "mail"),
    **{name: name for name in ("slack", "discord", "pagerduty", "opsgenie", "telegram", "ntfy")},
}
#: The beginnings of secrets, and the app setting that each belongs in.
_SECRET_SETTINGS = {
    **dict.fromkeys(("ghp_", "github_pat_", "ghs_", "gho_"), "SIGNALBOX_GITHUB_TOKEN"),
    "whsec_": "SIGNALBOX_WEBHOOK_<NAME>_SECRET",
}
#: The beginning of a warning about an app setting.
SETTING_IS = "the app setting"
SECRET_IN_FILE = "a secret does not belong in this file"

TOPIC_ADDRESS_IN_FILE = "the endpoint of a topic does not belong in this file"
TOPIC_ADDRESS_HINT = "Put it into the app setting SIGNALBOX_TOPIC_<NAME> and write the name here."


def is_address(text: str) -> bool:
    """Say whether a text is an address, or a part of one, and no name of a channel."""
    return _ADDRESS.search(text) is not None


def address_hint(addresses: Iterable[str], names: Iterable[str] = ()) -> str:
    """Return where the addresses of channels belong; their names are guessed if none are given."""
    known = dict.fromkeys(names or map(_channel_of, addresses))
    settings = [f"SIGNALBOX_CHANNEL_{name.upper().replace('-', '_')}" for name in known]
    here = " and ".join(f"`{name}`" for name in known if name != "<NAME>") or "the name"
    return (
        f"Put it into the app setting {' and '.join(settings)} and write {here} here. Most"
        " addresses hold a secret: change it, since it was in a file."
    )


def _channel_of(address: str) -> str:
    parts = (name for part, name in _SERVICES.items() if part in address.lower())
    return next(parts, "<NAME>")


def secret_hint(secret: str) -> str:
    """Return where a secret belongs."""
    settings = (name for begin, name in _SECRET_SETTINGS.items() if begin in secret)
    setting = next(settings, "")
    where = f"the app setting {setting}" if setting else "an app setting"
    return f"Put it into {where}, as a Key Vault reference, and change it, since it was in a file."


def holds_secret(text: str) -> bool:
    """Say whether a text is a secret, or an address with one in it, and no sentence."""
    return not any(map(str.isspace, text)) and MARK not in text and MARK in redact(text)


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


def meant(choice: str) -> str:
    """Return the hint that exactly this word was meant."""
    return f"Did you mean `{choice}`?"


def suggest(word: str, choices: Iterable[str]) -> str:
    """Return a hint with the choice that was probably meant, else with every choice."""
    known = sorted(set(choices))[:_CHOICES_MAX]
    if word.lower() not in known:
        contrary, written = _CONTRARY.get(word.lower(), ("", ""))
        if contrary in known:
            return written
        if (choice := _ELSEWHERE.get(word.lower())) in known:
            return meant(str(choice))
    near = [choice for choice in known if len(word) > 2 and choice.lower().startswith(word.lower())]
    near = near or [choice for choice in (nearest(word, known),) if choice is not None]
    if near:
        return f"Did you mean {' or '.join(f'`{choice}`' for choice in near)}?"
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
