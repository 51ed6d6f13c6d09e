"""The $filter of a metrics query: which values of a metric's dimensions are asked for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<word>[^\s()']+)|$)")
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a dimension's value; names and values are in lower case."""

    dimension: str
    values: frozenset[str]
    is_negated: bool = False

    def covers(self, value: str) -> bool:
        """Say whether a value is one of those asked for."""
        return (_ANY in self.values or value.lower() in self.values) != self.is_negated


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Return the conditions, all of which have to hold; raises ValueError as the service words it.

    `or` binds more tightly than `and`, and joins values of one dimension only. Brackets are in no
    example of the service's, and are refused.
    """
    return _Parser(text).parse() if text.strip() else ()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text, self._misfit()))
        self._next = 0

    def parse(self) -> tuple[Condition, ...]:
        conditions = [self._either()]
        while self._takes("and"):
            conditions.append(self._either())
        if self._next < len(self._tokens):
            raise self._misfit()
        return tuple(conditions)

    def _either(self) -> Condition:
        found = [self._one()]
        while self._takes("or"):
            found.append(self._one())
        if len(found) == 1:
            return found[0]
        if any(condition.is_negated for condition in found):
            raise ValueError("Only 'eq' operator are supported for 'or' clause")
        if len({condition.dimension for condition in found}) > 1:
            raise ValueError(
                "The logical 'or' operator cannot separate two different metadata names: "
                f"{self._text}"
            )
        values = frozenset().union(*(condition.values for condition in found))
        return Condition(found[0].dimension, values)

    def _one(self) -> Condition:
        name, operator, value = (self._take(kind) for kind in ("word", "word", "text"))
        if operator.lower() not in {"eq", "ne"}:
            raise self._misfit()
        return Condition(name.lower(), frozenset({value.lower()}), operator.lower() == "ne")

    def _takes(self, word: str) -> bool:
        is_next = self._tokens[self._next : self._next + 1] == [("word", word)]
        self._next += is_next
        return is_next

    def _take(self, kind: str) -> str:
        if self._next >= len(self._tokens) or self._tokens[self._next][0] != kind:
            raise self._misfit()
        self._next += 1
        return self._tokens[self._next - 1][1]

    def _misfit(self) -> ValueError:
        return ValueError(
            "only supports conditions of the form '<name> eq <value>' or '<name> ne <value>' : "
            f"{self._text}"
        )


def _tokens(text: str, misfit: ValueError) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise misfit
        kind = match.lastgroup
        if kind is not None:
            yield kind, match[kind].replace("''", "'") if kind == "text" else match[kind]
        position = match.end()
