"""Payloads of a hostile publisher: real ones with parts of them replaced."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

EVENTS = Path(__file__).parent.parent / "events"

#: Each breaks something, somewhere: parsers, tables, terminals, templates, paths, clocks.
BAD_TEXTS = [
    *("", " ", "\0", "\x1b[2J", "\r\nforged: line", "\u202e", "\ufeff", "K", "ﬁ", "\U0001f47e"),
    *("..", "../../x", "/etc/passwd", "a" * 5_000, "%00", "%2e%2e/", "C:\\x", "azureml:x:1"),
    *("{{ x }}", "${{ x }}", "${{ model.name }}", "[click](https://evil.example)", "@everyone"),
    *("' or 1=1", "<script>", "$(id)", "`id`", "; rm -rf", "null", "NaN", "1e999", "0x10", "-0"),
    *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59Z", "2026-02-30T00:00:00Z", "20260101"),
    *("AccountKey=c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0==", "Bearer eyJhbGciOi.eyJzdWIi.c2ln"),
]
BAD_VALUES = [
    *(None, True, False, 0, -1, 1.5, 1e308, 10**25, [], {}, [[]], {"": ""}, [None] * 50),
    json.loads("[" * 60 + "]" * 60),
]

texts = st.sampled_from(BAD_TEXTS) | st.text(max_size=20)
values = st.sampled_from(BAD_VALUES) | texts


def _bodies() -> list[Any]:
    found = []
    for path in sorted(EVENTS.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        found += document if isinstance(document, list) else [document]
    return [item for item in found if isinstance(item, dict)]


BODIES = _bodies()


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a document."""
    found = [path] if path else []
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            found += places(item, (*path, key))
    return found


def spoilt_events() -> st.SearchStrategy[dict[str, Any]]:
    """Return real events, spoilt."""
    return spoilt(st.sampled_from(BODIES))


@st.composite
def spoilt(draw: st.DrawFn, documents: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """Draw a document with up to four of its parts replaced, renamed, doubled or left out."""
    event = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(0, 4))):
        paths = places(event)
        if not paths:
            break
        *way, last = draw(st.sampled_from(paths))
        node = event
        for key in way:
            node = node[key]
        match draw(st.sampled_from(["replace", "replace", "drop", "rename", "fold"])):
            case "replace":
                node[last] = copy.deepcopy(draw(values))
            case "drop":
                del node[last]
            case "rename" if isinstance(node, dict):
                node[draw(texts)] = node.pop(last)
            case "fold" if isinstance(node, dict):
                node[last.swapcase()] = node.pop(last)
    return event


@st.composite
def bodies(draw: st.DrawFn) -> str | bytes:
    """Draw a message: spoilt events, alone or several, as JSON that is whole or damaged."""
    events = draw(st.lists(spoilt_events(), min_size=1, max_size=3))
    text = json.dumps(events if draw(st.booleans()) else events[0])
    match draw(st.sampled_from(["whole", "whole", "whole", "cut", "noise", "bytes"])):
        case "cut":
            return text[: draw(st.integers(0, len(text)))]
        case "noise":
            return text + draw(texts)
        case "bytes":
            return text.encode() + draw(st.binary(max_size=4))
    return text
