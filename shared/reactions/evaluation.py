"""The value of an expression or a template for one event, and of each part of it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jmespath import lexer

from shared.base.errors import ExpressionFailed
from shared.events.model import EventType
from shared.reactions.expression_faults import find_expression_faults
from shared.reactions.expression_nodes import ExpressionFault
from shared.reactions.expressions import compile_expression, operands, unwrapped
from shared.reactions.templates import OPEN, compile_template

_COMPARATORS = frozenset({"eq", "ne", "lt", "lte", "gt", "gte"})
_OPENING = frozenset({"lparen", "lbracket", "lbrace", "filter"})
_CLOSING = frozenset({"rparen", "rbracket", "rbrace"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A text, its value for an event, and the evaluations of its parts.

    `offset` is where the text begins in the whole, from 0. `error` says why there is no value.
    """

    text: str
    offset: int
    value: Any
    error: str = ""
    parts: "tuple[Evaluation, ...]" = ()


def evaluate_text(text: str, data: Mapping[str, Any]) -> Evaluation:
    """Return what an expression, or a text with `${{ expressions }}` in it, gives for an event.

    Raises: ExpressionSyntax, with the offset in the text.

    >>> evaluate_text("model.name == 'churn'", {"model": {"name": "fraud"}}).value
    False
    >>> evaluate_text("it is ${{ model.name }}", {"model": {"name": "fraud"}}).value
    'it is fraud'
    """
    if OPEN not in text:
        return _evaluate(text, 0, data)
    template = compile_template(text)
    assert template is not None  # it has an opening
    holes = tuple(_evaluate(hole.expression.text, hole.offset, data) for hole in template.holes)
    try:
        return Evaluation(text=text, offset=0, value=template.render(data), parts=holes)
    except ExpressionFailed as error:
        hint = f". {error.hint}" if error.hint else ""
        return Evaluation(text=text, offset=0, value=None, error=error.message + hint, parts=holes)


def find_text_faults(text: str, event_type: EventType) -> tuple[ExpressionFault, ...]:
    """Return what can't be right in an expression or a template for any event of this type.

    Raises: ExpressionSyntax.
    """
    template = compile_template(text) if OPEN in text else None
    if template is None:
        return find_expression_faults(compile_expression(text), event_type)
    return tuple(
        ExpressionFault(
            fault.message,
            fault.hint,
            None if fault.offset is None else hole.offset + fault.offset,
        )
        for hole in template.holes
        for fault in find_expression_faults(hole.expression, event_type)
    )


def _evaluate(text: str, offset: int, data: Mapping[str, Any]) -> Evaluation:
    expression = compile_expression(text)
    parts = tuple(
        _evaluate(part, offset + at, data) for at, part in _parts_of(text) if not _is_literal(part)
    )
    try:
        value, error = expression.evaluate(data), ""
    except ExpressionFailed as failed:
        value, error = None, failed.message
    return Evaluation(text=text, offset=offset, value=value, error=error, parts=parts)


def _parts_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the parts that have a value of their own: sides of operators, and arguments."""
    start, bare = unwrapped(text)
    operator, sides = operands(bare)
    if operator:
        # The right side of a pipe has no value without the left one.
        sides = sides[:1] if operator == "pipe" else sides
    elif len(compared := tuple(_pieces(bare, _COMPARATORS))) > 1:
        sides = compared
    elif bare.startswith("!"):
        sides = (_trimmed(bare, 1, len(bare)),)
    else:
        sides = tuple(_arguments(bare))
    yield from ((start + at, side) for at, side in sides)


def _arguments(text: str) -> Iterator[tuple[int, str]]:
    """Yield the arguments of a text that is one call of a function."""
    tokens = list(lexer.Lexer().tokenize(text))
    is_call = [token["type"] for token in tokens[:2]] == ["unquoted_identifier", "lparen"]
    if not is_call or not text.endswith(")"):
        return
    first = tokens[1]["start"] + 1
    if unwrapped(text[first - 1 :])[0] == 0:  # the parenthesis that opens is not closed at the end
        return
    inner = text[first:-1]
    yield from (
        (first + at, part)
        for at, part in _pieces(inner, frozenset({"comma"}))
        if part and not part.startswith("&")
    )


def _pieces(text: str, kinds: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Yield what is between the tokens of these kinds that are in no bracket."""
    depth, begin = 0, 0
    for token in lexer.Lexer().tokenize(text):
        kind = token["type"]
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth -= 1
        elif depth == 0 and kind in kinds:
            yield _trimmed(text, begin, token["start"])
            begin = token["start"] + len(token["value"])
    yield _trimmed(text, begin, len(text))


def _trimmed(text: str, begin: int, end: int) -> tuple[int, str]:
    piece = text[begin:end]
    return begin + len(piece) - len(piece.lstrip()), piece.strip()


def _is_literal(text: str) -> bool:
    kinds = [token["type"] for token in lexer.Lexer().tokenize(text)]
    return kinds == ["literal", "eof"]
