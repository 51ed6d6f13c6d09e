"""Faults of a comparison: its two sides are never equal, or have no order."""

from collections.abc import Iterator

from shared.reactions.closures import Node
from shared.reactions.expression_nodes import (
    ExpressionFault,
    fault_in,
    is_lowered,
    text_of_literal,
)
from shared.reactions.shapes import FreeMap, Kind, Many, Plain, RecordShape, Shape, name_kind
from shared.schema.wording import cut, suggest

#: Names in which Azure allows no `*`.
_NAMES = frozenset(
    {
        *("model.name", "model.version", "service.name", "run.id", "run.experiment_name"),
        *("workspace.name", "alert.endpoint", "alert.deployment"),
    }
)


def find_comparison_faults(node: Node, left: Shape, right: Shape) -> Iterator[ExpressionFault]:
    """Yield the faults of a comparison whose sides have these shapes."""
    one, two = node["children"]
    is_equality = node["value"] in ("eq", "ne")
    never = _find_never_equal(one, left, two, right) or _find_never_equal(two, right, one, left)
    if isinstance(left, Plain) and isinstance(right, Plain) and left.kind != right.kind:
        yield _mismatch(node, left, right)
    elif never is not None:
        yield never
    elif not is_equality and _has_no_order(left, right):
        yield fault_in(node, "text has no order in an expression", _order_hint(left, right))
    elif is_equality:
        yield from find_choice_faults(node, left, two)
        yield from find_choice_faults(node, right, one)


def find_choice_faults(node: Node, shape: Shape, other: Node) -> Iterator[ExpressionFault]:
    """Yield a fault for a literal that a value of few choices can never be."""
    if not isinstance(shape, Plain) or not shape.choices or other["type"] != "literal":
        return
    text = other["value"]
    if isinstance(text, str) and text not in shape.choices:
        hint = suggest(text, filter(None, shape.choices))
        yield fault_in(node, f"`{shape.named}` is never '{cut(text)}'", hint)


def compare_hint(shape: Shape, text: str, *, is_compound: bool) -> str:
    """Return a hint on how to make a condition of an expression of this shape."""
    operand = f"({text})" if is_compound else text
    match shape:
        case RecordShape():
            field = "name" if "name" in shape.fields else next(iter(shape.fields))
            return f"Compare a field of it: {operand}.{field} == '…'."
        case FreeMap() | Many():
            return f"Ask whether it holds anything: length({text}) > `0`."
        case Plain(kind=Kind.NUMBER):
            return f"Compare it: {operand} > `0`."
    nothing = "''" if _is_never_null(shape) else "`null`"
    return (
        f"Compare it: {operand} == '…', is_true({text}), "
        f"or {operand} != {nothing} if it only has to be there."
    )


def _find_never_equal(
    node: Node, shape: Shape, other: Node, others: Shape
) -> ExpressionFault | None:
    """Return the fault of a side that the other never equals: a list a number, a name null."""
    named, text = getattr(shape, "named", ""), text_of_literal(other)
    if isinstance(shape, Many | FreeMap | RecordShape) and isinstance(others, Plain):
        side = f"`{named}` ({name_kind(shape)})" if named else name_kind(shape)
        hint = "Take one of it, or the greatest: max(…); or ask for one: contains(…, 'x')."
        if not isinstance(shape, Many):
            hint = compare_hint(shape, named, is_compound=False)
        return fault_in(node, f"{side} is compared with {others.kind}", hint)
    if _is_never_null(shape) and other["type"] == "literal" and other["value"] is None:
        hint = f"Where there is none, it is an empty text: {named} == ''."
        return fault_in(node, f"`{named}` is never null", hint)
    if named in _NAMES and "*" in text:
        hint = f"Compare with a pattern: matches({named}, '{cut(text)}')."
        return fault_in(node, f"`{named}` is never '{cut(text)}'", hint)
    if is_lowered(node) and text != text.lower():
        hint = f"Write '{cut(text.lower())}'."
        return fault_in(node, f"lower() never gives '{cut(text)}'", hint)
    return None


def _mismatch(node: Node, left: Plain, right: Plain) -> ExpressionFault:
    """Return the fault of a comparison of two kinds: text with a number."""
    one, two = (
        f"`{side.named}` ({side.kind})" if side.named else str(side.kind) for side in (left, right)
    )
    is_written = any(side == Plain(Kind.TEXT) for side in (left, right))
    field = next((x for x in (left, right) if x.named and x.kind is Kind.BOOLEAN), None)
    if field is not None:
        hint = f"It is a condition by itself: `{field.named}`, or `!{field.named}`."
    elif Kind.BOOLEAN in (left.kind, right.kind):
        hint = "Compare text with 'true', or use is_true(…)."
    elif is_written:
        hint = "Numbers go in backticks: drift.metrics[0].value > `0.3`."
    elif node["value"] in ("eq", "ne"):
        hint = "Text goes in single quotes: '3'."
    else:
        hint = "Make a number of the text: to_number(…)."
    return fault_in(node, f"{one} is compared with {two}", hint)


def _is_never_null(shape: Shape) -> bool:
    """Say whether a value is a field that is text for every event, "" if the event has none."""
    return (
        isinstance(shape, Plain)
        and shape.kind is Kind.TEXT
        and shape.named != ""
        and not shape.is_free
        and not shape.has_order  # some times are null
        and "[" not in shape.named  # an item of a list may be missing
    )


def _order_hint(*sides: Shape) -> str:
    """Return what to write instead of an order of texts."""
    for side in sides:
        if isinstance(side, Plain) and side.choices:
            some = ", ".join(f"'{choice}'" for choice in [*filter(None, side.choices)][:2])
            return f"Name those that you mean: contains([{some}], {side.named})."
    return "Make numbers of both: to_number(model.version) > `9`."


def _has_no_order(*sides: Shape) -> bool:
    plain = [side for side in sides if isinstance(side, Plain)]
    is_text = any(side.kind is not Kind.NUMBER for side in plain)
    return is_text and not any(side.has_order for side in plain)
