"""Holds requests and answers to the contract: properties, types, enums, read-only and required.

The answer to a refused request names the path of the fault, as the service does. It is not
published how Machine Learning treats a property that a stable version does not know. Similar
services refuse it ("Could not find member …"), and so does this, because nothing else would show a
misspelt property. Names of enums are accepted in any case in requests, as by Azure's services, and
have to be exact in answers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "contract.json"
_DURATION = re.compile(r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+([.]\d+)?S)?)?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([.]\d{1,7})?(Z|[+-]\d\d:\d\d)?")

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the contract does not allow, and where."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path or 'the body'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked: its method, its path, and its models."""

    method: str
    path: re.Pattern[str]
    #: The models of the bodies, None if there is none: `["model", name]`, `["page", …]`.
    request: Any
    answer: Any


@dataclass(frozen=True, slots=True)
class _Rules:
    """How strictly something is checked."""

    is_request: bool
    knows_all: bool = True


class Contract:
    """The contract of one version of the API."""

    def __init__(self, document: Json) -> None:
        self.version: str = document["version"]
        #: The versions that clients may ask for.
        self.versions: tuple[str, ...] = tuple(document["versions"])
        self._models: Json = document["models"]
        self._enums = {name: frozenset(values) for name, values in document["enums"].items()}
        self._any_case = {
            name: frozenset(value.lower() for value in values)
            for name, values in self._enums.items()
        }
        self._error = document["error"]
        self._operations: dict[str, list[Operation]] = {}
        for method, path, request, answer in document["operations"]:
            pattern = re.compile(re.escape(path).replace(r"\*", "[^/]+"), re.IGNORECASE)
            made = Operation(method, pattern, request, answer)
            self._operations.setdefault(method, []).append(made)

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a request; None for one that the contract does not describe."""
        of_method = self._operations.get(method, ())
        return next((each for each in of_method if each.path.fullmatch(path)), None)

    def find_request_faults(
        self, operation: Operation, body: Any, *, knows_all: bool = True
    ) -> list[Fault]:
        """Return the faults of a request's body.

        Without `knows_all`, unknown properties are accepted as those of another version.
        """
        if operation.request is None:
            return []
        rules = _Rules(is_request=True, knows_all=knows_all)
        return list(self._check(operation.request, body, "", rules))

    def find_answer_faults(
        self, operation: Operation, status: int, body: Any, *, knows_all: bool = True
    ) -> list[Fault]:
        """Return the faults of an answer's body; None means no body at all."""
        rules = _Rules(is_request=False, knows_all=knows_all)
        if status >= 400:
            return list(self._check_error(body, rules))
        if status == 202 and body is None:
            return []
        if operation.answer is None:
            return [] if body is None else [Fault("", "no body is told of")]
        return list(self._check(operation.answer, body, "", rules))

    def with_enum_case(self, operation: Operation, body: Any) -> Any:
        """Return a request's body with the names of enums as the contract writes them.

        Numbers among texts, as azure-ai-ml sends some, become texts.
        """
        return self._settle(operation.request, body)

    def _settle(self, kind: Any, value: Any) -> Any:
        if value is None or isinstance(kind, str):
            return value
        name, *rest = kind
        if name == "enum":
            return next((k for k in self._enums[rest[0]] if k.lower() == str(value).lower()), value)
        if name == "list" and isinstance(value, list):
            return [self._settle(rest[0], each) for each in value]
        if name == "map" and isinstance(value, dict):
            return {key: self._settle_entry(rest[0], each) for key, each in value.items()}
        if name == "model" and isinstance(value, dict):
            return self._settle_model(rest[0], value)
        return value

    def _settle_entry(self, kind: Any, value: Any) -> Any:
        is_odd = kind == "str" and isinstance(value, int | float)
        return json.dumps(value) if is_odd else self._settle(kind, value)

    def _settle_model(self, name: str, value: Json) -> Json:
        model = self._models[name]
        if model.get("kinds") and (chosen := _kind_of(model, value)):
            return self._settle_model(model["kinds"][chosen], {**value, model["by"]: chosen})
        fields = model["fields"]
        return {
            key: self._settle(fields[key][0], each) if key in fields else each
            for key, each in value.items()
        }

    def _check_error(self, body: Any, rules: _Rules) -> Iterator[Fault]:
        yield from self._check(self._error, body, "", rules)
        error = body.get("error") if isinstance(body, dict) else None
        for name in ("code", "message"):
            if not isinstance(error, dict) or not error.get(name):
                yield Fault(f"error.{name}", "is missing")

    def _check(self, kind: Any, value: Any, path: str, rules: _Rules) -> Iterator[Fault]:
        if isinstance(kind, str):
            if not _SCALARS[kind](value):
                yield Fault(path, f"{_shown(value)} is no {_WORDS[kind]}")
            return
        name, *rest = kind
        if name == "enum":
            known = (self._any_case if rules.is_request else self._enums)[rest[0]]
            word = value.lower() if rules.is_request and isinstance(value, str) else value
            if not isinstance(word, str) or word not in known:
                listed = ", ".join(sorted(self._enums[rest[0]]))
                yield Fault(path, f"{_shown(value)} is none of {listed}")
        elif name == "literal":
            if value not in rest:
                yield Fault(path, f"{_shown(value)} is not {rest[0]}")
        elif name == "list":
            yield from self._check_list(rest[0], value, path, rules)
        elif name == "map":
            yield from self._check_map(rest[0], value, path, rules)
        elif name == "page":
            yield from self._check_page(rest[0], value, rules)
        else:
            yield from self._check_model(rest[0], value, path, rules)

    def _check_list(self, kind: Any, value: Any, path: str, rules: _Rules) -> Iterator[Fault]:
        if not isinstance(value, list):
            yield Fault(path, f"{_shown(value)} is no list")
            return
        for number, each in enumerate(value):
            yield from self._check(kind, each, f"{path}[{number}]", rules)

    def _check_map(self, kind: Any, value: Any, path: str, rules: _Rules) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield Fault(path, f"{_shown(value)} is no object")
            return
        for name, each in value.items():
            # azure-ai-ml sends numbers among texts, which the service answers as texts.
            is_scalar = isinstance(each, int | float) and not rules.knows_all
            if each is not None and not (kind == "str" and rules.is_request and is_scalar):
                yield from self._check(kind, each, _below(path, name), rules)

    def _check_page(self, kind: Any, value: Any, rules: _Rules) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield Fault("", f"{_shown(value)} is no page")
            return
        for name in sorted(value.keys() - {"value", "nextLink"}):
            yield Fault(name, "is not known")
        yield from self._check_list(kind, value.get("value"), "value", rules)
        if value.get("nextLink") is not None:
            yield from self._check("str", value["nextLink"], "nextLink", rules)

    def _check_model(self, name: str, value: Any, path: str, rules: _Rules) -> Iterator[Fault]:
        if not isinstance(value, dict):
            yield Fault(path, f"{_shown(value)} is no object")
            return
        model = self._models[name]
        kinds = model.get("kinds")
        if kinds:
            kind = value.get(model["by"])
            chosen = _kind_of(model, value)
            if chosen is None and not rules.knows_all:
                return
            if chosen is None or not (rules.is_request or chosen == kind):
                listed = ", ".join(sorted(kinds))
                yield Fault(_below(path, model["by"]), f"{_shown(kind)} is none of {listed}")
                return
            yield from self._check_model(kinds[chosen], value | {model["by"]: chosen}, path, rules)
            return
        yield from self._check_fields(model["fields"], value, path, rules)

    def _check_fields(self, fields: Json, value: Json, path: str, rules: _Rules) -> Iterator[Fault]:
        for name, each in value.items():
            if name not in fields:
                if rules.knows_all:
                    yield Fault(_below(path, name), "is not known")
                continue
            kind, marks = fields[name]
            if each is None:
                continue
            if rules.is_request and "o" in marks:
                if rules.knows_all:
                    yield Fault(_below(path, name), "is read-only")
                continue
            if not rules.is_request and "w" in marks:
                yield Fault(_below(path, name), "is never answered")
            yield from self._check(kind, each, _below(path, name), rules)
        for name, (_, marks) in fields.items():
            is_due = rules.is_request or "w" not in marks
            if "r" in marks and is_due and value.get(name) is None:
                yield Fault(_below(path, name), "is missing")


def _kind_of(model: Json, value: Json) -> str | None:
    """Return the kind of a model that a value names, in any case."""
    chosen = str(value.get(model["by"])).lower()
    return next((kind for kind in model["kinds"] if kind.lower() == chosen), None)


@cache
def load_contract() -> Contract:
    """Return the contract, which is read once."""
    return Contract(json.loads(_FILE.read_text(encoding="utf-8")))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SCALARS = {
    "str": lambda value: isinstance(value, str),
    "int": _is_whole,
    "float": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "duration": lambda value: isinstance(value, str) and bool(_DURATION.fullmatch(value)),
    "datetime": lambda value: isinstance(value, str) and bool(_MOMENT.fullmatch(value)),
    "any": lambda value: True,
}
_WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "duration": "length of time as ISO 8601 writes it, such as PT10S",
    "datetime": "time as ISO 8601 writes it",
}


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    return json.dumps(value, default=repr)[:60]
