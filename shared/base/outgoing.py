"""What leaves the app: text of outside is made harmless by one function for each destination.

The edges call them, and nothing else has to: the factory of log records, the adapters of tables,
queues, blobs and channels, and the command line. So it is of no account where a text came from.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.base.outside import read_json
from shared.base.redact import clean_of_secrets, redact
from shared.base.words import flat

_LOG_MAX = 4_000
_TAG_MAX = 250

#: Follows what would be read as a command to the service, and is not seen.
_BREAK = "\u200b"
#: Mentions of people, of groups, of everybody, and the anchors, tags and links with a text of their
#: own of Discord, Google Chat, Jira, Markdown, Mattermost, Slack, Teams, Telegram, Zulip and HTML.
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
    """Return a text on one line, so that it can't be taken for lines of the log."""
    return flat(redact(text, most=_LOG_MAX))


class Clean(str):
    """A part of a text that `for_row` has returned: by itself it might be read otherwise."""

    __slots__ = ()


def for_row(text: str) -> str:
    """Return all of a text without secrets and control characters; JSON remains JSON.

    So it is kept in tables, queues and blobs, and with a model in AML. A text that was kept comes
    out as it is.
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
    """Return the object or array whose JSON a text is, else None."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return read_json(text)
    except ValueError:
        return None


def _is_like(before: Any, after: Any) -> bool:
    """Say whether a value still has the parts that it had, and its texts that are JSON as well."""
    if isinstance(before, dict) and isinstance(after, dict):
        return _is_like(list(before.values()), list(after.values()))
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_is_like, before, after))
    if isinstance(before, str) and before != after:
        document = _read(before)
        return isinstance(after, str) and (document is None or _is_like(document, _read(after)))
    return bool(before == after)


def _clean_within(value: Any) -> Any:
    """Return a value of JSON with each of its texts clean, by itself or with the name it is under.

    It is for a document that can't be cleaned as one text.
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
        told = _read(clean_of_secrets(json.dumps(pair, ensure_ascii=False)))
        if _is_like(pair, told):
            return list(told.items())
    return [(for_row(name), _clean_within(value))]


def for_message(text: str, *, most: int) -> str:
    """Return a text in which no service that shows it finds anything but plain text.

    Addresses remain, and lead where they say. How the plain text is written in HTML or Markdown is
    the channel's to say.
    """
    return _COMMANDS.sub(rf"\g<0>{_BREAK}", redact(text, most=most))


def for_terminal(text: str) -> str:
    """Return a text on one line, without secrets and whatever could steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in clean_of_secrets(text))


def for_tag(text: str) -> str:
    """Return a text as the value of a tag of a resource in Azure: one line, at most 250 long."""
    return flat(redact(text, most=_TAG_MAX))
