"""Conditions are total: what `check` lets pass gives true or false for whatever arrives."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.base.errors import ExpressionFailed
from shared.events.model import EventType
from shared.reactions.condition_faults import find_condition_faults
from shared.reactions.expressions import compile_expression
from shared.reactions.near_misses import near_misses, values_seen
from shared.reactions.shapes import (
    FreeMap,
    Kind,
    Many,
    Plain,
    RecordShape,
    Shape,
    shape_of,
)

_TYPES = st.sampled_from(EventType)
_TAG_NAMES = ("deploy", "env", "my-tag")
_TAG_VALUES = st.sampled_from(["", "true", "prod", "3", "-1.5", "inf", "nan", "é", "x" * 300])
_LITERALS = {
    Kind.TEXT: ["''", "'prod'", "'3'"],
    Kind.NUMBER: ["`0`", "`-1.5`", "`1e9`"],
    Kind.BOOLEAN: ["`true`", "`false`"],
}


def _paths(shape: Shape, path: str = "") -> list[tuple[str, Shape]]:
    """Return what can be written to get at each part of an event, and its shape."""
    found = [(path, shape)] if path else []
    if isinstance(shape, RecordShape):
        for name, inner in shape.fields.items():
            found += _paths(inner, f"{path}.{name}".lstrip("."))
    if isinstance(shape, FreeMap):
        found += [(f'{path}."{name}"', Plain(Kind.TEXT)) for name in _TAG_NAMES]
    if isinstance(shape, Many):
        for inner_path, inner in _paths(shape.item, f"{path}[0]"):
            found.append((inner_path, inner))
            found.append((inner_path.replace("[0]", "[*]", 1), Many("", inner)))
    return found


def _texts_of(on: EventType, wanted: Any) -> st.SearchStrategy[str]:
    fitting = [path for path, shape in _paths(shape_of(on)) if wanted(shape)]
    return st.sampled_from(fitting) if fitting else st.nothing()


def _is(kind: Kind) -> Any:
    return lambda shape: isinstance(shape, Plain) and shape.kind is kind


def _holds(kind: Kind) -> Any:
    return lambda shape: isinstance(shape, Many) and _is(kind)(shape.item)


def _typed(on: EventType, depth: int) -> dict[Kind, st.SearchStrategy[str]]:
    """Return expressions of each kind in which every function gets what it can take."""
    leaves = {kind: _texts_of(on, _is(kind)) | st.sampled_from(_LITERALS[kind]) for kind in Kind}
    texts, numbers = (_texts_of(on, _holds(kind)) for kind in (Kind.TEXT, Kind.NUMBER))
    maps = _texts_of(on, lambda shape: isinstance(shape, FreeMap | RecordShape))
    lists = _texts_of(on, lambda shape: isinstance(shape, Many)) | texts
    records = _texts_of(on, lambda shape: isinstance(shape, Many) and hasattr(shape.item, "fields"))
    if depth == 0:
        return leaves
    inner = _typed(on, depth - 1)
    text, number, truth = (inner[kind] for kind in Kind)
    texts |= st.builds("[{}, {}]".format, text, text) | st.builds("keys({})".format, maps)
    numbers |= st.builds("[{}, {}]".format, number, number)
    call = st.builds
    of_text = [
        *(leaves[Kind.TEXT], call("lower({})".format, text), call("to_string({})".format, number)),
        *(call("join({}, {})".format, text, texts), call("reverse({})".format, text)),
        *(call("max({})".format, texts), call("sort({})[0]".format, texts)),
        call("not_null({}, {})".format, text, text),
        call("max_by({}, &value).name".format, records),
        call("sort_by({}, &effect)[-1].feature".format, records),
    ]
    of_number = [
        *(leaves[Kind.NUMBER], call("to_number({})".format, text)),
        *(call("length({})".format, text | lists | maps), call("abs({})".format, number)),
        *(call("sum({})".format, numbers), call("avg({})".format, numbers)),
        *(call("max({})".format, numbers), call("floor({})".format, number)),
        call("min_by({}, &threshold).value".format, records),
    ]
    of_truth = [
        *(leaves[Kind.BOOLEAN], call("!({})".format, text | number | truth)),
        *(call("is_true({})".format, text), call("matches({}, {})".format, text, text)),
        call("{}({}, {})".format, st.sampled_from(["starts_with", "ends_with"]), text, text),
        *(call("contains({}, {})".format, texts | text, text),),
        call("({} {} {})".format, number, st.sampled_from(["<", ">=", "==", "!="]), number),
        call("({} {} {})".format, text, st.sampled_from(["==", "!="]), text | st.just("`null`")),
        call("({} {} {})".format, truth | text, st.sampled_from(["&&", "||"]), truth),
        call("({} | {})".format, maps, st.just("@ != `null`")),
    ]
    return {
        Kind.TEXT: st.one_of(of_text),
        Kind.NUMBER: st.one_of(of_number),
        Kind.BOOLEAN: st.one_of(of_truth),
    }


_CONDITIONS = {on: _typed(on, 3)[Kind.BOOLEAN] for on in EventType}


def _data(shape: Shape, spoilt: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return data of a shape, of which any part may be `spoilt` instead."""
    match shape:
        case RecordShape():
            fields: Mapping[str, Any] = {k: _data(v, spoilt) for k, v in shape.fields.items()}
            made: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=fields)
        case FreeMap():
            made = st.dictionaries(st.sampled_from(_TAG_NAMES), _TAG_VALUES)
        case Many():
            made = st.lists(_data(shape.item, spoilt), max_size=3)
        case Plain(kind=Kind.NUMBER):
            made = st.floats(allow_nan=False, allow_infinity=False) | st.none()
        case Plain(kind=Kind.BOOLEAN):
            made = st.booleans()
        case Plain(choices=choices) if choices:
            made = st.sampled_from(choices)
        case _:
            made = _TAG_VALUES | st.just(datetime(2026, 1, 2, tzinfo=UTC).isoformat())
    return made | spoilt


_MISSING = {on: _data(shape_of(on), st.none()) for on in EventType}
_ODD = st.none() | st.sampled_from([True, 0, -1.5, "", "x", [], [None, 1, "a"], {}, {"a": [None]}])
#: Other types of event that the reaction is on as well.
_MORE = st.lists(_TYPES, max_size=2)
_SPOILT = {on: _data(shape_of(on), _ODD) for on in EventType}


def require_total(data: st.DataObject) -> None:
    """Draw a condition, and an event that lacks things; it has to be evaluated without an error."""
    on = data.draw(_TYPES)
    text, more = data.draw(_CONDITIONS[on]), data.draw(_MORE)
    expression = compile_expression(text)
    if find_condition_faults(expression, *more, on):
        return
    event = data.draw(_MISSING[on])
    value = expression.evaluate(event)
    assert expression.holds(event) is (value not in (None, False, "", [], {}))
    assert expression.holds(event) or expression.explain(event)


def require_an_answer(data: st.DataObject) -> None:
    """Draw a condition, and an event with odd things in it; it has to hold, or not to."""
    on = data.draw(_TYPES)
    expression, more = compile_expression(data.draw(_CONDITIONS[on])), data.draw(_MORE)
    if find_condition_faults(expression, *more, on):
        return
    event = data.draw(_SPOILT[on])
    assert expression.holds(event) in (True, False)
    assert expression.explain(event)
    assert all(values_seen(expression, event))
    assert all(near_misses(expression, event))
    with suppress(ExpressionFailed):
        expression.evaluate(event)


@given(st.data())
def test_a_condition_never_fails_for_want_of_anything(data: st.DataObject) -> None:
    require_total(data)


@given(st.data())
def test_what_check_lets_pass_gives_true_or_false_for_whatever_arrives(
    data: st.DataObject,
) -> None:
    require_an_answer(data)
