"""The metadata of a queue message that the real host gives a function beside the body."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from azure.storage.queue import QueueMessage

from sandbox.functions_host import newtonsoft
from sandbox.functions_host.protocol import Value, json_value

#: The end of .NET's time.
_NEVER = "9999-12-31T23:59:59.9999999+00:00"


def message_metadata(message: QueueMessage, text: str, function: str) -> dict[str, Value]:
    """Return the metadata of a message with this text for a function.

    If the text is an object, its members are metadata too, and replace those of the queue.
    """
    own: dict[str, Value] = {
        "Id": {"string": message.id},
        "PopReceipt": {"string": message.pop_receipt},
        "DequeueCount": json_value(message.dequeue_count),
        "InsertionTime": _time_value(message.inserted_on),
        "ExpirationTime": _time_value(message.expires_on),
        "NextVisibleTime": _time_value(message.next_visible_on),
        "sys": json_value(
            {
                "MethodName": function,
                "UtcNow": datetime.now(UTC).isoformat(),
                "RandGuid": str(uuid.uuid4()),
            }
        ),
    }
    return with_members(own, text)


def manual_metadata(text: str) -> dict[str, Value]:
    """Return the metadata of a message that was made by hand, by the admin API."""
    never = json_value(_NEVER)
    own = {
        "DequeueCount": json_value(0),
        "InsertionTime": never,
        "ExpirationTime": never,
        "NextVisibleTime": never,
    }
    return with_members(own, text)


def with_members(own: Mapping[str, Value], text: str) -> dict[str, Value]:
    """Add the members of a text that is a JSON object, without regard to case: they win."""
    metadata = dict(own)
    names = {name.casefold(): name for name in own}
    for member, value in _members(text).items():
        given = _value(value)
        if given is not None:
            metadata[names.setdefault(member.casefold(), member)] = given
    return metadata


def _members(text: str) -> dict[str, Any]:
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        return {}
    try:
        found = newtonsoft.read(stripped)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _value(value: Any) -> Value | None:
    if isinstance(value, list):
        return None
    if isinstance(value, dict):
        return {"json": newtonsoft.write(value)}
    text = newtonsoft.as_text(value)
    return None if text is None else {"string": text}


def _time_value(moment: datetime | None) -> Value:
    return json_value(moment.isoformat() if moment else None)
