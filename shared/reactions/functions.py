"""Functions and comparisons of expressions: JMESPath's, made total, and a few own ones."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from jmespath import functions, visitor

from shared.events.fields import finite_number

#: A number as JSON writes it: Python would also read "1_000", "inf" and "nan".
_WHOLE = re.compile(r"[-+]?\d{1,300}", re.ASCII)
_NUMBER = re.compile(r"[-+]?\d{0,300}\.?\d{1,300}(?:[eE][-+]?\d{1,4})?", re.ASCII)
_TRUE_WORDS = frozenset({"true", "yes", "y", "on", "1"})


class Functions(functions.Functions):
    """The standard functions and our own; each returns null for null.

    A model without a tag is no mistake in the file, so no function fails on a null argument, or on
    a null in a list.
    """

    def call_function(self, function_name: str, resolved_args: Iterable[Any]) -> Any:
        """Return a function's value; None if an argument is null and it can't take that."""
        arguments = list(resolved_args)
        signature = self.FUNCTION_TABLE.get(function_name, {}).get("signature", ())
        if signature and signature[-1].get("variadic"):
            signature = (*signature, *[signature[-1]] * (len(arguments) - len(signature)))
        for at, (value, argument) in enumerate(zip(arguments, signature, strict=False)):
            if value is None and _refuses_null(argument):
                return None
            if isinstance(value, list) and _holds_one_kind(argument):
                arguments[at] = [item for item in value if item is not None]
        return super().call_function(function_name, arguments)

    @functions.signature({"types": ["array", "string"]}, {"types": []})
    def _func_contains(self, subject: list[Any] | str, search: Any) -> bool:
        if isinstance(subject, str) and not isinstance(search, str):
            return False
        return search in subject

    @functions.signature({"types": []})
    def _func_to_number(self, value: Any) -> int | float | None:
        if isinstance(value, str):
            text = value.strip()
            if _WHOLE.fullmatch(text):
                return int(text)
            return finite_number(text) if _NUMBER.fullmatch(text) else None
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_sort_by(self, array: list[Any], by: Any) -> list[Any]:
        kept: list[Any] = super()._func_sort_by(_with_key(array, by), by)  # type: ignore[misc]
        return kept

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_min_by(self, array: list[Any], by: Any) -> Any:
        return super()._func_min_by(_with_key(array, by), by)  # type: ignore[misc]

    @functions.signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_max_by(self, array: list[Any], by: Any) -> Any:
        return super()._func_max_by(_with_key(array, by), by)  # type: ignore[misc]

    @functions.signature({"types": ["string", "null"]})
    def _func_lower(self, text: str | None) -> str | None:
        return None if text is None else text.lower()

    @functions.signature({"types": []})
    def _func_is_true(self, value: Any) -> bool:
        return is_true(value)

    @functions.signature({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_matches(self, text: str | None, glob: str) -> bool:
        return text is not None and fnmatchcase(text.lower(), glob.lower())


def _refuses_null(argument: Mapping[str, Any]) -> bool:
    return bool(argument["types"]) and "null" not in argument["types"]


def _holds_one_kind(argument: Mapping[str, Any]) -> bool:
    """Say whether an argument is a list of numbers, or of texts."""
    return any("-" in kind for kind in argument["types"])


def _with_key(array: list[Any], by: Any) -> list[Any]:
    """Return the items that have a key to compare them by."""
    return [item for item in array if by.visit(by.expression, item) is not None]


class Interpreter(visitor.TreeInterpreter):
    """Orders values of one kind: numbers with numbers, and text, such as times, with text."""

    def visit_comparator(self, node: Any, value: Any) -> bool | None:
        """Return null where two things have no order, as JMESPath does."""
        if node["value"] not in ("eq", "ne"):
            sides = (self.visit(child, value) for child in node["children"])
            kinds = {str if isinstance(side, str) else _number_or_none(side) for side in sides}
            if len(kinds) > 1 or None in kinds:
                return None
        compared: bool | None = super().visit_comparator(node, value)
        return compared


def _number_or_none(value: Any) -> type[float] | None:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else None


def is_true(value: Any) -> bool:
    """Say whether a tag means yes in any spelling: true, "True", "yes", "on", 1, "1"."""
    if isinstance(value, str):
        return value.strip().lower() in _TRUE_WORDS
    return isinstance(value, bool | int | float) and value == 1


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments a function takes: exactly `count`, or at least that."""

    count: int
    or_more: bool


#: Every function that an expression can call.
FUNCTIONS: Mapping[str, Arity] = {
    name: Arity(
        count=len(spec["signature"]),
        or_more=bool(spec["signature"]) and bool(spec["signature"][-1].get("variadic")),
    )
    for name, spec in Functions.FUNCTION_TABLE.items()
}
#: The types that each argument of a function can have; an empty set means any.
SIGNATURES: Mapping[str, tuple[frozenset[str], ...]] = {
    name: tuple(frozenset(argument["types"]) for argument in spec["signature"])
    for name, spec in Functions.FUNCTION_TABLE.items()
}
