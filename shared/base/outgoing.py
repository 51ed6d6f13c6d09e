"""Make text harmless where it leaves the app: one function for each destination.

Only the edges call them: the factory of log records, the adapters of tables, queues, blobs and
channels, and the command line. So it does not matter where a text came from.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.base.incoming import read_json
from shared.base.redact import clean_of_secrets, redact
from shared.base.words import flat

_LOG_MAX = 4_000
_TAG_MAX = 250

#: Put after text that a service would read as a command; it is invisible.
_BREAK = "\u200b"
#: Mentions of people, groups and everybody, and the anchors, tags and links with a text of their
#: own, of Discord, Google Chat, Jira, Markdown, Mattermost, Slack, Teams, Telegram, Zulip and HTML.
_COMMANDS = re.compile(
    r"(?<![\w.+-])@(?=[\w&!*])"
    r"|@(?=everyone|here|channel|all\b|room|team)"
    r"|<(?=[\w@!#&/])"
    r"|\](?=[(\[:])"
    r"|\|(?=[a-z]{2,10}:|//|\^)"
    r"|\[(?=~)"
    r"|!(?=[a-z]{2,10}:)",
    re.IGNORECASE,
)


def for_log(text: str) -> str:
    """Return a text on one line, so that it can't look like lines of the log."""
    return flat(redact(text, most=_LOG_MAX))


class Clean(str):
    """A part of a text that `for_row` has returned. It is not cleaned again by itself."""

    __slots__ = ()


def for_row(text: str) -> str:
    """Return all of a text without secrets and control characters; JSON remains JSON.

    Text is kept like this in tables, queues and blobs, and with a model in AML. A text that is
    clean already is returned as it is.
    """
    if isinstance(text, Clean):
        return str(text)
    clean = clean_of_secrets(text)
    if clean == text:
        return clean
    document = _read(text)
    if document is None or _is_like(document, _read(clean)):
        return clean
    # The quotation mark that ends a text, as in "no token:", was taken for one that begins a value.
    is_ascii = text.isascii()
    return json.dumps(_clean_within(document), ensure_ascii=is_ascii, separators=(",", ":"))


def _read(text: str) -> Any:
    """Return the object or array of a JSON text, or None if it is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return read_json(text)
    except ValueError:
        return None


def _is_like(before: Any, after: Any) -> bool:
    """Return whether a value still has all its parts, also within its texts that are JSON."""
    if isinstance(before, dict) and isinstance(after, dict):
        return _is_like(list(before.values()), list(after.values()))
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_is_like, before, after))
    if isinstance(before, str) and before != after:
        document = _read(before)
        return isinstance(after, str) and (document is None or _is_like(document, _read(after)))
    return bool(before == after)


def _clean_within(value: Any) -> Any:
    """Return a JSON value with each of its texts cleaned, alone or together with its name.

    It is for documents that can't be cleaned as one text.
    """
    if isinstance(value, str):
        return for_row(value)
    if isinstance(value, list):
        return [_clean_within(item) for item in value]
    if isinstance(value, Mapping):
        return {name: item for pair in value.items() for name, item in _clean_pair(*pair)}
    return value


def _clean_pair(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, str):
        pair = {name: value}
        cleaned = _read(clean_of_secrets(json.dumps(pair, ensure_ascii=False)))
        if _is_like(pair, cleaned):
            return list(cleaned.items())
    return [(for_row(name), _clean_within(value))]


def for_event(data: Mapping[str, Any]) -> Any:
    """Return the data of an event that the app publishes, as values for JSON without secrets."""
    return read_json(for_row(json.dumps(data, ensure_ascii=False, default=str)))


def for_message(text: str, *, most: int) -> str:
    """Return a text in which no service that shows it finds anything but plain text.

    Addresses stay as they are. The channel decides how plain text is written in HTML or Markdown.
    """
    return _COMMANDS.sub(rf"\g<0>{_BREAK}", redact(text, most=most))


def for_terminal(text: str) -> str:
    """Return a text on one line, without secrets and characters that control a terminal."""
    return "".join(char if char.isprintable() else " " for char in clean_of_secrets(text))


def for_tag(text: str) -> str:
    """Return a text as the value of a tag of a resource in Azure: one line, at most 250 long."""
    return flat(redact(text, most=_TAG_MAX))
