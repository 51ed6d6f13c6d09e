"""The values that a condition saw in an event, and the near-misses if it does not hold. Pure.

"The tag is `Deploy`, the rule asks for `deploy`": a value that differs in casing, blanks or kind, a
tag of another name, a property in place of a tag.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.reactions.closures import Node
from shared.reactions.expression_nodes import items_of_list
from shared.reactions.expressions import Expression
from shared.reactions.functions import is_true
from shared.schema.wording import cut, found, kind_of_value, nearest, value_and_kind

#: The names of a path in an event: `model.tags.deploy`.
type _Names = tuple[str, ...]

#: Mappings of any names, and what one of these is called.
_NOUNS = {"tags": "tag", "properties": "property"}
_OTHER = {"tags": "properties", "properties": "tags"}
_TOLD_MAX = 6
#: Functions that compare a text with a part of it.
_OF_PARTS = frozenset({"starts_with", "ends_with", "matches"})
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def values_seen(part: Expression, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields that a part of a condition reads, with their values, each once.

    >>> values_seen(compile_expression("model.name == 'churn'"), {"model": {"name": "fraud"}})
    ("`model.name` is 'fraud'",)
    """
    names = dict.fromkeys(_paths(part.tree))
    return tuple(f"`{_written(path)}` is {_told(_value_at(path, data))}" for path in names)


def near_misses(part: Expression, data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what would nearly have been right about a part that does not hold, the nearest first.

    >>> data = {"model": {"tags": {"Deploy": "yes"}}}
    >>> near_misses(compile_expression("is_true(model.tags.deploy)"), data)
    ('the tag is `Deploy`, the rule asks for `deploy`',)
    """
    return tuple(dict.fromkeys(filter(None, _misses(part.tree, data))))


def _misses(node: Node, data: Mapping[str, Any]) -> Iterator[str]:
    kind, children = node["type"], _children(node)
    for names in map(_names_of, children if kind != "not_expression" else ()):
        if names is not None and _value_at(names, data) is None:
            yield _missing(names, data)
    if kind == "comparator" and node["value"] == "eq":
        yield from _unequal(children, data)
    elif kind == "function_expression":
        yield from _unfit(node["value"], children, data)
    elif kind in ("field", "subexpression"):
        yield from _untrue(node, data)
        return
    for child in children:
        if _names_of(child) is None or kind in ("and_expression", "or_expression"):
            yield from _misses(child, data)


def _untrue(node: Node, data: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a field that is the condition itself is not true."""
    names = _names_of(node)
    if names == ("run", "is_root") and _value_at(names, data) is False:
        run = data["run"]
        step = f" {found(run['step'])}" if run.get("step") else ""
        yield f"the run is a step{step} of {found(run.get('root_id', ''))}, not a root run"
    elif names is not None and _value_at(names, data) is None:
        yield _missing(names, data)


def _unequal(sides: list[Node], data: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the sides of an equation differ, if that is little."""
    for one, other in (sides, sides[::-1]):
        names = _names_of(one)
        if names is not None and other["type"] == "literal":
            yield _differs(names, _value_at(names, data), other["value"])


def _unfit(function: str, arguments: list[Node], data: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a function of a field is not true."""
    if function == "contains" and len(arguments) == 2:
        items, names = list(items_of_list(arguments[0])), _names_of(arguments[1])
        for item in items if names is not None else ():
            yield _differs(names or (), _value_at(names or (), data), item.get("value"))
        yield from _lacks(arguments, data)
        return
    names = _names_of(arguments[0]) if arguments else None
    if names is None:
        return
    value = _value_at(names, data)
    if function == "is_true" and value is not None and not is_true(value):
        yield f"{_subject(names)} is {_told(value)}; only true, yes, y, on and 1 are true"
    if function in _OF_PARTS and arguments[1]["type"] == "literal" and isinstance(value, str):
        asked = str(arguments[1]["value"])
        if _holds_folded(function, value, asked):
            yield f"{_subject(names)} is {found(value)}, which differs in casing or in blanks only"


def _lacks(arguments: list[Node], data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the nearest item of a list in the event that does not hold what is asked for."""
    names, asked = _names_of(arguments[0]), arguments[1]
    values = None if names is None else _value_at(names, data)
    if names is None or asked["type"] != "literal" or not isinstance(values, list | str):
        return
    for item in values if isinstance(values, list) else [values]:
        yield _differs(names, item, asked["value"])


def _holds_folded(function: str, value: str, asked: str) -> bool:
    text, part = value.strip().casefold(), asked.strip().casefold()
    if function == "starts_with":
        return text.startswith(part)
    if function == "ends_with":
        return text.endswith(part)
    pattern = ".*".join(map(re.escape, part.split("*")))
    return "?" not in part and "[" not in part and re.fullmatch(pattern, text) is not None


def _differs(names: _Names, value: Any, asked: Any) -> str:
    """Return how a value differs from the one that the rule asks for, "" if in much."""
    if value is None or value == asked or isinstance(value, dict | list):
        return ""
    pair = f"{_subject(names)} is {found(value)}, the rule asks for {found(asked)}"
    if kind_of_value(value) != kind_of_value(asked):
        if str(value).casefold() != str(asked).casefold():
            return ""
        return f"{pair}: one is {kind_of_value(value)}, the other {kind_of_value(asked)}"
    if not isinstance(value, str):
        return ""
    if value.casefold() == asked.casefold():
        return f"{pair}: they differ only in casing"
    if _bare(value) == _bare(asked) and _bare(value):
        return f"{pair}: they differ only in blanks, dashes or casing"
    return pair if nearest(value, [asked]) else ""


def _missing(names: _Names, data: Mapping[str, Any]) -> str:
    """Return what the event has in place of a tag or property that is missing, "" for a field."""
    *above, name = names
    if not above or above[-1] not in _NOUNS:
        return ""
    place = above[-1]
    noun, there = _NOUNS[place], _value_at(tuple(above), data)
    there = there if isinstance(there, dict) else {}
    near = nearest(name, there)
    if near is not None:
        return f"the {noun} is `{cut(near)}`, the rule asks for `{cut(name)}`"
    others = _value_at((*above[:-1], _OTHER[place]), data)
    if isinstance(others, dict) and name in others:
        other = _written((*above[:-1], _OTHER[place], name))
        return f"`{cut(name)}` is a {_NOUNS[_OTHER[place]]}, not a {noun}: write `{other}`"
    named = [f"`{cut(key)}`" for key in sorted(there)]
    more = f" and {len(named) - _TOLD_MAX} more" if len(named) > _TOLD_MAX else ""
    has = f"only {', '.join(named[:_TOLD_MAX])}{more}" if named else f"and no {place} at all"
    return f"the event has no {noun} `{cut(name)}`, {has}"


def _bare(text: str) -> str:
    return re.sub(r"[\s_.-]+", "", text).casefold()


def _subject(names: _Names) -> str:
    noun = _NOUNS.get(names[-2]) if len(names) > 1 else None
    return f"the {noun} `{cut(names[-1])}`" if noun else f"`{_written(names)}`"


def _written(names: _Names) -> str:
    return cut(".".join(name if _PLAIN.fullmatch(name) else f'"{name}"' for name in names))


def _told(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list) and not value:
        return f"{kind_of_value(value)} with nothing in it"
    return found(value) if isinstance(value, bool | int | float | str) else value_and_kind(value)


def _value_at(names: _Names, data: Mapping[str, Any]) -> Any:
    value: Any = data
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _paths(node: Node) -> Iterator[_Names]:
    """Yield the paths that a node reads from the event, the first first."""
    names = _names_of(node)
    if names is not None:
        yield names
    elif node["type"] == "subexpression":  # a path through a list: what it begins with is shown
        yield from _paths(_children(node)[0])
    elif node["type"] in ("projection", "filter_projection", "value_projection", "pipe"):
        yield from _paths(_children(node)[0])  # the rest is read from what that gives
    else:
        for child in _children(node):
            yield from _paths(child)


def _names_of(node: Node) -> _Names | None:
    """Return the names of a node that is a plain path, else None."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    parts = [_names_of(child) for child in _children(node)]
    if any(part is None for part in parts):
        return None
    return tuple(name for part in parts for name in part or ())


def _children(node: Node) -> list[Node]:
    return [child for child in node["children"] if isinstance(child, dict)]


def failing_parts(when: Expression, data: Mapping[str, Any]) -> tuple[tuple[Expression, str], ...]:
    """Return the parts of a condition that do not hold, each with the reason."""
    parts = when.conditions or (when,)
    return tuple((part, part.explain(data)) for part in parts if not part.holds(data))
