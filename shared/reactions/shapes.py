"""Shapes of events, as expressions see them: a misspelt field is found before any event."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from shared.events.causes import EventCause
from shared.events.model import EVENT_CLASSES, RUN_STATUSES, EventType, Run, Workspace


class Kind(StrEnum):
    """The kind of a plain value."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain value. `named` is its name in the file, "" if it has none.

    `is_free` marks tags and properties: text that anybody writes, or that is missing. `choices` are
    all texts that it can be, () if they are not known. `has_order` marks times, of which the later
    one is greater.
    """

    kind: Kind
    named: str = ""
    is_free: bool = False
    choices: tuple[str, ...] = ()
    has_order: bool = False


@dataclass(frozen=True, slots=True)
class RecordShape:
    """A value with known fields."""

    named: str
    fields: "Mapping[str, Shape]"


@dataclass(frozen=True, slots=True)
class FreeMap:
    """Text under names that nobody knows in advance: tags and properties."""

    named: str


@dataclass(frozen=True, slots=True)
class Many:
    """A list."""

    named: str
    item: "Shape"


@dataclass(frozen=True, slots=True)
class Anything:
    """An unknown value: any use of it is accepted."""


Shape = Plain | RecordShape | FreeMap | Many | Anything
ANYTHING = Anything()
_KINDS = {RecordShape: "a mapping", FreeMap: "a mapping", Many: "a list", Anything: "anything"}


def name_kind(shape: Shape) -> str:
    """Return the kind of a value in the words of messages: a number, a list."""
    return str(shape.kind) if isinstance(shape, Plain) else _KINDS[type(shape)]


def without_name(shape: Shape) -> Shape:
    """Return the shape of a value that was computed from a field."""
    return Plain(shape.kind) if isinstance(shape, Plain) else shape


@cache
def shape_of(*on: EventType) -> RecordShape:
    """Return the shape of the data of such events, as `shared.events.model.as_data` gives them.

    Of several types it has the fields of all: a field that an event lacks is null.
    """
    first, *others = map(_shape_of_one, on)
    for other in others:
        first = _merged(first, other)
    return first


def _merged(one: RecordShape, other: RecordShape) -> RecordShape:
    shapes: dict[str, Shape] = {**other.fields, **one.fields}
    for name in one.fields.keys() & other.fields.keys():
        shapes[name] = _either(one.fields[name], other.fields[name])
    return RecordShape(one.named, shapes)


def _either(one: Shape, other: Shape) -> Shape:
    if isinstance(one, RecordShape) and isinstance(other, RecordShape):
        return _merged(one, other)
    if isinstance(one, Plain) and isinstance(other, Plain) and one.kind is other.kind:
        choices = tuple(dict.fromkeys(one.choices + other.choices))
        return replace(one, choices=choices if one.choices and other.choices else ())
    return one if one == other else ANYTHING


def _shape_of_one(event_type: EventType) -> RecordShape:
    cls = EVENT_CLASSES[event_type]
    known = {"type": Plain(Kind.TEXT, "type", choices=(str(event_type),)), **_fields_of(cls, "")}
    known["cause"] = _shape(EventCause, "cause")
    if event_type is EventType.RUN_COMPLETED:
        run = known["run"]
        assert isinstance(run, RecordShape)
        status = Plain(Kind.TEXT, "run.status", choices=("Completed",))
        known["run"] = RecordShape(run.named, {**run.fields, "status": status})
    return RecordShape("", known)


def _fields_of(cls: type, named: str) -> dict[str, Shape]:
    hints = get_type_hints(cls)
    prefix = f"{named}." if named else ""
    known = {item.name: _shape(hints[item.name], prefix + item.name) for item in fields(cls)}
    if cls is Workspace:
        known["id"] = Plain(Kind.TEXT, f"{prefix}id")
    if cls is Run:
        known["status"] = Plain(Kind.TEXT, f"{prefix}status", choices=("", *RUN_STATUSES))
    return known


def _shape(hint: Any, named: str) -> Shape:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        options = [arg for arg in args if arg is not type(None)]
        return _shape(options[0], named) if len(options) == 1 else ANYTHING
    if origin is tuple:
        return Many(named, _shape(args[0], f"{named}[]"))
    if origin is not None and issubclass(origin, Mapping):
        return FreeMap(named)
    if isinstance(hint, type):
        if is_dataclass(hint):
            return RecordShape(named, _fields_of(hint, named))
        return _plain_shape(hint, named)
    return ANYTHING


def _plain_shape(hint: type, named: str) -> Shape:
    if issubclass(hint, StrEnum):
        return Plain(Kind.TEXT, named, choices=tuple(str(item) for item in hint))
    if issubclass(hint, str | datetime):
        return Plain(Kind.TEXT, named, has_order=issubclass(hint, datetime))
    if issubclass(hint, int | float):
        return Plain(Kind.BOOLEAN if hint is bool else Kind.NUMBER, named)
    return ANYTHING
