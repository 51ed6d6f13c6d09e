"""The tables of docs/reference whose names and values come from the code.

`python -m tests.reference` writes them into the pages. People write the last columns, which say
what a thing means; these stay as they are. A new row gets empty ones, which the tests refuse.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jmespath import functions as jmespath_functions
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.actions import ACTIONS
from shared.adapters.topics import find_place
from shared.base import errors
from shared.base.durations import format_duration
from shared.base.settings import read_settings
from shared.events.model import EventType
from shared.reactions.functions import FUNCTIONS, Functions
from shared.reactions.shapes import FreeMap, Many, Plain, RecordShape, Shape, name_kind, shape_of
from shared.retraining.params import PolicyParams
from shared.retraining.targets import TargetParams
from tests.layers import ROOT

PAGES = tuple(sorted((ROOT / "docs" / "reference").glob("*.md")))
BLOCK = re.compile(
    r"(?<=<!-- table: )(?P<name>[\w ]+) -->\n(?P<rows>.*?)(?=<!-- end of table -->)", re.DOTALL
)
_FATES = {"retry": "retried", "park": "parked", "ask": "asked", "ignore": "ignored"}
#: Errors that never end a step, so that their disposition decides nothing.
_OTHER_FATES = {
    "reactions.invalid": "the trigger fails",
    "setting.invalid": "the trigger fails",
    "rollout.order": "said",
    "loop.order": "said",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns, the cells that the code gives by the first one, and the people's."""

    columns: tuple[str, ...]
    known: Mapping[str, tuple[str, ...]]
    written: int = 1


class RowGone(Exception):
    """A page describes something that the code does not have."""


def fill(page: str) -> str:
    """Return a page with the tables that the code gives, in the order of the page's rows.

    Raises: RowGone, because the words of such a row may belong in that of a new name.
    """
    return BLOCK.sub(lambda block: _filled(block["name"], block["rows"]), page)


def without_words(page: str) -> list[str]:
    """Return the rows of a page's tables for which nobody has written the last columns."""
    return [
        name
        for block in BLOCK.finditer(page)
        for name, words in _rows(tables()[block["name"]], block["rows"]).items()
        if not all(words)
    ]


@cache
def tables() -> dict[str, Table]:
    """Return every table by its name."""
    found = {
        "events": Table(("events", "fields of their own"), _events(), written=0),
        "kinds": Table(("fields", "kind"), _kinds(), written=0),
        "functions": Table(("function", "meaning"), _functions()),
        "errors": Table(("code", "fate", "event", "remedy"), _errors(), written=2),
        "settings": Table(("setting", "default", "meaning"), _settings()),
    }
    for action, params in ACTIONS.items():
        values = {f"`{name}`": (default_of(info),) for name, info in fields_of(params).items()}
        found[f"values of {action}"] = Table(("value", "default", "meaning"), values)
    return found


def _filled(name: str, text: str) -> str:
    table = tables()[name]
    present = _rows(table, text)
    if gone := present.keys() - table.known.keys():
        if table.written:
            raise RowGone(f"table {name}: the code has no {', '.join(sorted(gone))}")
        present = {}
    lines = [_line(table.columns), "|" + "---|" * len(table.columns)]
    for first in dict.fromkeys([*present, *table.known]):
        words = present.get(first, ("",) * table.written)
        lines.append(_line((first, *table.known[first], *words)))
    return f"{name} -->\n" + "".join(f"{line}\n" for line in lines)


def _rows(table: Table, text: str) -> dict[str, tuple[str, ...]]:
    """Return the people's cells by the first one. Only the last cell may have a bar in it."""
    last = len(table.columns) - 1
    lines = [line.strip("|").split("|", last) for line in text.splitlines()[2:]]
    cells = [[cell.strip() for cell in line] for line in lines]
    return {first: tuple(rest[last - table.written :]) for first, *rest in cells}


def _line(cells: tuple[str, ...]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _own_fields(on: EventType) -> dict[str, Shape]:
    """Return the fields that events of a type have, without those that all events have."""
    common = set.intersection(*(set(shape_of(each).fields) for each in EventType))
    return {name: item for name, item in shape_of(on).fields.items() if name not in common}


def _events() -> dict[str, tuple[str, ...]]:
    types: dict[str, list[str]] = {}
    for on in EventType:
        fields = " ".join(f"`{_braced(name, item)}`" for name, item in _own_fields(on).items())
        types.setdefault(fields, []).append(f"`{on}`")
    common = [
        f"`{_braced(name, item)}`"
        for name, item in shape_of(EventType.MODEL_REGISTERED).fields.items()
        if name not in _own_fields(EventType.MODEL_REGISTERED)
    ]
    rows = {", ".join(names): (fields,) for fields, names in types.items()}
    return {"every event": (", ".join(sorted(common)),), **rows}


def _braced(name: str, shape: Shape) -> str:
    inner = ", ".join(shape.fields) if isinstance(shape, RecordShape) else ""
    return f"{name}.{{{inner}}}" if inner else name


def _kinds() -> dict[str, tuple[str, ...]]:
    """Return the kinds of the fields that are not any text."""
    kinds: dict[str, str] = {}
    for on in EventType:
        # A run that completed has one status only: those of RunStatusChanged come after it.
        kinds |= {f"`{path}`": _kind(item) for path, item in _leaves(shape_of(on), "")}
    del kinds["`type`"]
    fields: dict[str, list[str]] = {}
    for path, kind in kinds.items():
        fields.setdefault(kind, []).append(path)
    return {", ".join(paths): (kind,) for kind, paths in fields.items() if kind}


def _leaves(shape: RecordShape, path: str) -> Iterator[tuple[str, Shape]]:
    for name, item in shape.fields.items():
        if isinstance(item, RecordShape):
            yield from _leaves(item, f"{path}{name}.")
        else:
            yield f"{path}{name}", item


def _kind(shape: Shape) -> str:
    match shape:
        case Plain(choices=choices) if choices:
            return ", ".join(f"`{choice}`" if choice else "`''`" for choice in choices)
        case Plain(has_order=True):
            return "a time, as text such as `2026-11-28T09:30:00+00:00`"
        case Plain():
            return "" if name_kind(shape) == "text" else name_kind(shape)
        case Many(item=RecordShape(fields=fields)):
            return f"a list of `{{{', '.join(fields)}}}`"
        case Many():
            return "a list of texts"
        case FreeMap():
            return "a mapping: texts by names of anybody's choice"
    return name_kind(shape)


def _functions() -> dict[str, tuple[str, ...]]:
    """Return the functions that JMESPath does not have, as they are called."""
    ours = FUNCTIONS.keys() - jmespath_functions.Functions.FUNCTION_TABLE.keys()
    calls = {}
    for name in FUNCTIONS:
        if name in ours:
            _, *arguments = inspect.signature(getattr(Functions, f"_func_{name}")).parameters
            calls[f"`{name}({', '.join(arguments)})`"] = ()
    return calls


def every_error() -> list[type[errors.SignalboxError]]:
    """Return every error that has a code of its own."""
    found: list[type[errors.SignalboxError]] = [errors.SignalboxError]
    for error in found:
        found += error.__subclasses__()
    return [error for error in found if "code" in vars(error)]


def _errors() -> dict[str, tuple[str, ...]]:
    rows = {}
    for error in every_error():
        is_bug = error is errors.SignalboxError
        failure = errors.failure_of(ValueError() if is_bug else error("x"))
        fate = _OTHER_FATES.get(error.code, _FATES[failure.disposition])
        rows[f"`{error.code}`"] = (fate,)
    return rows


class _Asked(dict[str, str]):
    """App settings of which none is set; it keeps the defaults that the app falls back on."""

    def get(self, name: str, default: Any = None) -> Any:
        self[name] = "" if default is None else str(default)
        return default


def _settings() -> dict[str, tuple[str, ...]]:
    asked = _Asked()
    read_settings(asked)
    topic = find_place(
        {"SIGNALBOX_TOPIC_NEWS": "https://contoso.westeurope-1.eventgrid.azure.net/api/events"},
        "news",
    )
    asked["SIGNALBOX_TOPIC_NEWS_SCHEMA"] = topic.schema
    sample = json.loads((ROOT / "local.settings.sample.json").read_text("utf-8"))["Values"]
    defaults = dict.fromkeys([*sample, "AZURE_CLIENT_ID"], "") | asked
    return {
        f"`{name}`": (default if not default or default.isdecimal() else f"`{default}`",)
        for name, default in defaults.items()
    }


def fields_of(params: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the values that an action takes, with dots for those within others."""
    found: dict[str, FieldInfo] = {}
    for name, info in params.model_fields.items():
        inner = info.annotation
        if inner in (TargetParams, PolicyParams):  # each has a page of its own
            found[name] = info
            continue
        if get_origin(inner) in (Union, UnionType):  # `Values | None`
            inner = get_args(inner)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{name}.{key}": value for key, value in fields_of(inner).items()}
        else:
            found[name] = info
    return found


def default_of(info: FieldInfo) -> str:
    """Return the default of a value as the documentation writes it."""
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    match default:
        case timedelta():
            return format_duration(default)
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
        case ():
            return "[]"
        case None | BaseModel():
            return ""
    return str(default)


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
