"""Faults of a call of a function: its name, its arguments, and the value that it returns."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from shared.base.words import counted
from shared.reactions.closures import Node
from shared.reactions.comparison_faults import find_choice_faults
from shared.reactions.expression_nodes import (
    ExpressionFault,
    fault_at,
    fault_in,
    first_field,
    items_of_list,
    text_of_literal,
)
from shared.reactions.functions import FUNCTIONS, SIGNATURES
from shared.reactions.shapes import (
    ANYTHING,
    Anything,
    FreeMap,
    Kind,
    Many,
    Plain,
    RecordShape,
    Shape,
    name_kind,
    without_name,
)
from shared.schema.wording import cut, suggest

#: Functions of other languages, and how the same is written here.
_FUNCTION_HINTS = {
    "eq": "Write `==` between the two.",
    "ne": "Write `!=` between the two.",
    "and": "Write `&&` between the two.",
    "or": "Write `||` between the two.",
    "not": "Write `!` before the condition.",
    "in": "Ask whether a list holds it: contains(['Failed', 'Canceled'], run.status).",
    "format": "Put the expressions into the text, or join them: join('-', [model.name, 'x']).",
    "coalesce": "A missing field is null by itself, and `||` gives a default: model.tags.a || 'b'.",
    "always": "Leave `when` out to react always.",
}
_BOOLEAN_FUNCTIONS = frozenset({"contains", "ends_with", "starts_with", "is_true", "matches"})
_TEXT_FUNCTIONS = frozenset({"join", "lower", "to_string", "type"})
_NUMBER_FUNCTIONS = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})
#: The types of JMESPath.
_TYPES = {Kind.TEXT: "string", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean"}
#: The functions that compare a text with a part of it.
_FITS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda value, text: text in value,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "matches": lambda value, glob: fnmatchcase(value.lower(), glob.lower()),
}
_REGEX = re.compile(r"\^|.*(?:\$|\\[dwsDWSb.])")


def find_call_faults(node: Node, shapes: Sequence[Shape]) -> Iterator[ExpressionFault]:
    """Yield the faults of a call whose arguments have these shapes."""
    name, arguments = node["value"], node["children"]
    if name not in FUNCTIONS:
        hint = _FUNCTION_HINTS.get(name.lower()) or suggest(name, FUNCTIONS)
        yield fault_at(node, f"there is no function `{cut(name)}()`", hint)
        return
    if not _is_arity_right(node):
        arity = FUNCTIONS[name]
        expected = counted(arity.count, "argument")
        least = "at least " if arity.or_more else ""
        message = f"{name}() takes {least}{expected}, found {len(arguments)}"
        yield fault_at(node, message, "")
        return
    for argument, child, shape in zip(SIGNATURES[name], arguments, shapes, strict=False):
        if child["type"] == "expref" and "expref" not in argument:
            yield reference_fault(child)
        elif not _can_take(argument, shape):
            yield _unfit_argument(node, name, shape)
    yield from _find_vain_searches(node, name, arguments, shapes)


def reference_fault(node: Node) -> ExpressionFault:
    """Return the fault of an `&` outside an argument that is applied to items.

    The library accepts it as an ordinary value, which counts as true.
    """
    hint = "It belongs in an argument of sort_by(), min_by(), max_by() or map()."
    return fault_in(node, "`&` can't stand here", hint)


def shape_of_call(node: Node, shapes: Sequence[Shape]) -> Shape:
    """Return the shape of the value that a call returns."""
    name = node["value"]
    if not _is_arity_right(node):
        return ANYTHING
    if name == "not_null" and all(
        without_name(shape) == without_name(shapes[0]) for shape in shapes
    ):
        return without_name(shapes[0])
    if name in _BOOLEAN_FUNCTIONS:
        return Plain(Kind.BOOLEAN)
    if name in _TEXT_FUNCTIONS:
        return Plain(Kind.TEXT)
    return Plain(Kind.NUMBER) if name in _NUMBER_FUNCTIONS else ANYTHING


def _is_arity_right(node: Node) -> bool:
    arity, count = FUNCTIONS.get(node["value"]), len(node["children"])
    return arity is not None and (count == arity.count or (arity.or_more and count > arity.count))


def _can_take(argument: frozenset[str], shape: Shape) -> bool:
    """Say whether an argument of these types, () for any, may be of this shape."""
    kinds = {kind.partition("-")[0] for kind in argument}
    if not argument or isinstance(shape, Anything):
        return True
    if isinstance(shape, Plain):
        return _TYPES[shape.kind] in kinds
    return ("array" if isinstance(shape, Many) else "object") in kinds


def _unfit_argument(node: Node, name: str, shape: Shape) -> ExpressionFault:
    """Return the fault of an argument that the function accepts for no event."""
    named = getattr(shape, "named", "")
    is_map = isinstance(shape, FreeMap | RecordShape)
    hint = f"Take its names or its values: keys({named}), values({named})." if is_map else ""
    argument = f"`{named}`, which is {name_kind(shape)}" if named else name_kind(shape)
    return fault_in(node, f"{name}() can't take {argument}", hint)


def _find_vain_searches(
    node: Node, name: str, arguments: Sequence[Node], shapes: Sequence[Shape]
) -> Iterator[ExpressionFault]:
    """Yield a fault for a text that a function can't find in a value of few choices."""
    if name == "matches" and (fault := _find_no_glob(node, *arguments)):
        yield fault
    elif name == "contains" and len(shapes) == 2 and not isinstance(shapes[0], Plain):
        for item in items_of_list(arguments[0]):
            yield from find_choice_faults(arguments[1], shapes[1], item)
    elif name in _FITS and len(shapes) == 2 and isinstance(shapes[0], Plain):
        text, field = text_of_literal(arguments[1]), shapes[0]
        if text and field.choices and not any(_FITS[name](it, text) for it in field.choices):
            valid = suggest("", filter(None, field.choices))
            message = f"{name}() never holds for `{field.named}` and '{cut(text)}'"
            yield fault_at(first_field(arguments[0]) or node, message, valid)


def _find_no_glob(node: Node, text: Node, glob: Node) -> ExpressionFault | None:
    """Return the fault of a call of matches() without a glob as its second argument."""
    if _REGEX.match(text_of_literal(glob)):
        hint = "Write `*` for any text, and nothing for its ends: matches(model.name, 'churn-*')."
        written = cut(text_of_literal(glob))
        return fault_at(node, f"'{written}' is a regular expression, matches() takes a glob", hint)
    if re.search(r"[*?]", text_of_literal(text)) and glob["type"] != "literal":
        hint = "Write them the other way round."
        return fault_at(node, "matches() takes the text first, then the glob", hint)
    return None
