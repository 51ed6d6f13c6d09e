"""Faults of an expression as a condition: each part that can be its result is true or false."""

from collections.abc import Iterator

from shared.events.model import EventType
from shared.reactions.comparison_faults import compare_hint
from shared.reactions.expression_faults import find_expression_faults, shape_of_result
from shared.reactions.expression_nodes import ExpressionFault
from shared.reactions.expressions import Expression, compile_expression, operands, unwrapped
from shared.reactions.shapes import Anything, FreeMap, Kind, Plain, name_kind
from shared.schema.wording import cut


def find_condition_faults(expression: Expression, *on: EventType) -> tuple[ExpressionFault, ...]:
    """Return the expression's faults; without any, those of results that are not true or false."""
    faults = find_expression_faults(expression, *on)
    return faults or tuple(_find_unfit(expression.text, 0, on))


def _find_unfit(text: str, offset: int, on: tuple[EventType, ...]) -> Iterator[ExpressionFault]:
    """Yield a fault for each part that can become the result and is not true or false."""
    start, bare = unwrapped(text)
    operator, sides = operands(bare)
    if operator == "and":
        # The sides before the last only decide where they are false.
        at, side = sides[-1]
        yield from _find_unfit(side, offset + start + at, on)
        return
    expression = compile_expression(bare)
    result = shape_of_result(expression, *on)
    if expression.tree["type"] == "multi_select_dict":
        result = FreeMap("")
    if isinstance(result, Anything):
        for at, side in sides if operator == "or" else ():
            yield from _find_unfit(side, offset + start + at, on)
    elif not isinstance(result, Plain) or result.kind is not Kind.BOOLEAN:
        message = f"`{cut(bare)}` gives {name_kind(result)}, a condition has to give true or false"
        hint = compare_hint(result, cut(bare), is_compound=operator != "")
        if expression.tree["type"] == "literal":
            hint = "Compare on each side, or ask a list: contains(['x', 'y'], model.name)."
        yield ExpressionFault(message, hint, offset + start or None)
