"""Faults of values that people write, in the words of the reference pages."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.base.durations import DurationInvalid
from shared.schema.document import Path
from shared.schema.values import LoadContext, Values
from shared.schema.wording import (
    ADDRESS_IN_FILE,
    address_hint,
    dotted,
    found,
    is_address,
    meant,
    nearest,
    suggest,
)


@dataclass(frozen=True, slots=True)
class ParamFault:
    """A value, or a key, that the action does not take. `path` leads to it from the action."""

    path: Path
    message: str
    hint: str = ""
    is_of_key: bool = False


def read_values[V: Values](
    owner: str, raw: Mapping[str, Any], values: type[V], context: LoadContext
) -> tuple[V | None, tuple[ParamFault, ...]]:
    """Return the values written below `owner` and no faults, or None and all faults."""
    try:
        return values.model_validate(raw, context=context), ()
    except ValidationError as error:
        return None, _explain(error, owner, raw, values, context.channels or ())


#: With more faults than these, people fix the first ones and check again.
_FAULTS_MAX = 50
_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "model": "a mapping",
    "none": "nothing",
}
_LISTS = {kind for kind, words in _KINDS.items() if words == "a list"}
#: Text that means the same when it is put between brackets.
_PLAIN = re.compile(r"\w(?:[\w.,@/ -]{0,48}\w)?")
_KIND_ERROR = re.compile(
    rf"({'|'.join(_KINDS)})_(?:type|parsing|from_float|required|attributes_type)"
)


def _explain(
    error: ValidationError,
    action: str,
    raw: Mapping[str, Any],
    params: type[Values],
    channels: Iterable[str],
) -> tuple[ParamFault, ...]:
    """Return pydantic's findings in plain words, one fault for each place."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False)[:_FAULTS_MAX]:
        by_path.setdefault(_real_path(details, raw), []).append(details)
    slips = tuple(_find_slips(by_path, raw, params))
    for path in [path for path in by_path for slip in slips if _is_of_slip(path, slip)]:
        by_path.pop(path, None)
    faults = [misplaced(slip) for slip, _ in slips]
    for path, errors in by_path.items():
        faults += _explain_at(path, errors, action, params, tuple(channels))
    # A key that is missing because it was misspelt is said of the misspelt one.
    hints = {(fault.path[:-1], fault.hint) for fault in faults}
    return tuple(
        fault
        for fault in faults
        if not (" needs " in fault.message and fault.path)
        or (fault.path[:-1], meant(str(fault.path[-1]))) not in hints
    )


#: The path of a key without a value, and the keys beside it that belong below it.
_Slip = tuple[Path, frozenset[str]]


def _find_slips(by_path: Mapping[Path, Any], raw: Any, params: type[Values]) -> Iterator[_Slip]:
    """Yield each key that has nothing below it, with keys beside it that it takes."""
    for path in [path for path, errors in by_path.items() if errors[0]["type"] == _UNKNOWN]:
        beside = raw
        for part in path[:-1]:
            beside = _child(beside, part)
        for key in beside if isinstance(beside, Mapping) else ():
            takes = _fields_below(params, (*path[:-1], key))
            if beside[key] is None and path[-1] in takes:
                yield (*path[:-1], key), frozenset(takes)


def _is_of_slip(path: Path, slip: _Slip) -> bool:
    where, takes = slip
    return path == where or (
        len(path) >= len(where)
        and path[: len(where) - 1] == where[:-1]
        and path[len(where) - 1] in takes
    )


def misplaced(path: Path) -> ParamFault:
    """Return the fault of values that stand beside their key and not below it."""
    message = f"the values of `{dotted(path)}` are not below it"
    hint = f"Indent them by two spaces more than `{path[-1]}`."
    return ParamFault(path, message, hint, is_of_key=True)


_UNKNOWN = "extra_forbidden"


def _real_path(details: ErrorDetails, raw: Any) -> Path:
    """Leave out the parts that pydantic adds to a path, such as the member of a union."""
    path: Path = ()
    *upper, last = details["loc"] or ("",)
    for part in upper:
        child = _child(raw, part)
        if child is not _NOWHERE:
            raw, path = child, (*path, part)
    if details["loc"] and (details["type"] == "missing" or _child(raw, last) is not _NOWHERE):
        path = (*path, last)
    return path


_NOWHERE = object()


def _child(value: Any, part: str | int) -> Any:
    if isinstance(value, Mapping) and part in value:
        return value[part]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOWHERE


def _explain_at(
    path: Path,
    errors: list[ErrorDetails],
    action: str,
    params: type[Values],
    channels: tuple[str, ...],
) -> Iterator[ParamFault]:
    """Yield one fault for a place, or every fault of a job's file."""
    if errors[0]["type"] != "job_invalid":
        yield _explain_one(path, errors, action, params, channels)
        return
    for fault in errors[0].get("ctx", {}).get("faults", ()):
        yield ParamFault(path, f"{errors[0]['input']} can't be run: {fault}")


def _explain_one(
    path: Path,
    errors: list[ErrorDetails],
    action: str,
    params: type[Values],
    channels: tuple[str, ...],
) -> ParamFault:
    name = f"`{dotted(path)}`" if path else f"`{action}`"
    first = errors[0]
    value = first["input"]
    kinds = [match[1] for item in errors if (match := _KIND_ERROR.fullmatch(item["type"]))]
    if kinds and len(kinds) == len(errors):
        words = " or ".join(dict.fromkeys(_KINDS[kind] for kind in kinds))
        quote = kinds == ["string"] and isinstance(value, bool | int | float)
        hint = f'Put quotes around it: "{found(value)}".' if quote else ""
        if _NUMBERS.issuperset(kinds) and (number := _number_meant(value, kinds[0], path)):
            hint = f"Write `{number}`."
        if _LISTS.issuperset(kinds) and isinstance(value, str) and _PLAIN.fullmatch(value):
            hint = f"Write [{value}]."
        if kinds == ["model"] and (fields := sorted(_fields_at(params, path))):
            hint = f"Its keys: {', '.join(f'`{field}`' for field in fields)}."
        return ParamFault(path, f"{name} should be {words}, found {found(value)}", hint)
    match first["type"]:
        case "missing":
            hint = first.get("ctx", {}).get("hint", "")
            return ParamFault(path, f"`{action}` needs {name}", hint, is_of_key=True)
        case "extra_forbidden":
            hint = suggest(str(path[-1]), _fields_at(params, path[:-1])) if path else ""
            if (share := _SHARE.fullmatch(str(value))) and hint == "Did you mean `max_ratio`?":
                hint = f"Write `max_ratio: {1 + float(share[1]) / 100:g}`."
            return ParamFault(path, f"`{action}` has no {name}", hint, is_of_key=True)
    return ParamFault(path, *_describe(name, first, channels))


_NUMBERS = {"int", "float", "decimal"}
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?) ?%")
_SPOKEN = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_THOUSANDS = re.compile(r"\d{1,3}(?:[,_' ]\d{3}){1,4}")
_COMMA = re.compile(r"(\d{1,6}),(\d{1,6})")
_WITH_UNIT = re.compile(r"(\d{1,9}) ?(?:x|times|instances?|replicas?|nodes?|vms?)", re.IGNORECASE)


def _number_meant(value: object, kind: str, path: Path) -> str:
    """Return the number that a text was probably meant as, "" where that is not clear."""
    takes_fractions = kind != "int"
    base = 1 if str(path[-1]).endswith("_ratio") else 0
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in _SPOKEN:
        return str(_SPOKEN.index(text) + 1)
    if _THOUSANDS.fullmatch(text):
        return re.sub(r"\D", "", text)
    if with_unit := _WITH_UNIT.fullmatch(text):
        return with_unit[1]
    if takes_fractions and (share := _SHARE.fullmatch(text)):
        return f"{base + float(share[1]) / 100:g}"
    if takes_fractions and (comma := _COMMA.fullmatch(text)):
        return f"{comma[1]}.{comma[2]}"
    return ""


def _describe(name: str, error: ErrorDetails, channels: tuple[str, ...]) -> tuple[str, str]:
    """Return the message and the hint for a wrong value of the right kind."""
    value, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "unfit":
            return f"{name} {context['message']}", context["hint"]
        case "file_missing":
            near = nearest(str(value), context["known"])
            hint = f"Did you mean `{near}`?" if near else "Add it, or name one that is there."
            return f"the app has no file {found(value)}", hint
        case "channel_undeclared":
            return describe_channel(str(value), channels)
        case "strategy_undeclared":
            return f"there is no strategy {found(value)}", suggest(str(value), context["known"])
        case "literal_error" | "enum":
            hint = suggest(str(value), re.findall(r"'([^']*)'", context.get("expected", "")))
            return f"{name} can't be {found(value)}", hint
        case "value_error" | "assertion_error":
            wrong = context.get("error", error["msg"])
            is_duration = isinstance(wrong, DurationInvalid)
            return f"{name}{'' if is_duration else ':'} {wrong}", getattr(wrong, "hint", "")
    return f"{name} {_plainly(error['msg'])}, found {found(value)}", ""


def describe_channel(name: str, channels: tuple[str, ...]) -> tuple[str, str]:
    """Return the message and the hint of a channel that the file does not declare."""
    if is_address(name):
        return ADDRESS_IN_FILE, address_hint([name])
    hint = suggest(name, channels) or "Declare it under `channels:`."
    return f"there is no channel {found(name)}", hint


def _plainly(message: str) -> str:
    """Turn pydantic's "Input should be …" into the end of a sentence about the value."""
    message = re.sub(r"^(?:Input|String|Value|List|Dictionary|Tuple) ", "", message)
    return message[:1].lower() + message[1:]


def _fields_at(params: type[BaseModel], path: Path) -> set[str]:
    """Return the fields that a model, or one nested in it, takes at the path."""
    models = {params}
    for part in path:
        if isinstance(part, str):
            models = {
                nested
                for model in models
                if part in model.model_fields
                for nested in _models_in(model.model_fields[part].annotation)
            } or models
    return {name for model in models for name in model.model_fields}


def _fields_below(params: type[BaseModel], path: Path) -> set[str]:
    """Return the fields that the value at the path takes, none if it takes no mapping."""
    *upper, last = path
    models = {params}
    for part in (*upper, last):
        models = {
            nested
            for model in models
            if part in model.model_fields
            for nested in _models_in(model.model_fields[str(part)].annotation)
        }
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
