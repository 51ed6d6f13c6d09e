"""Faults of an expression that hold for every event of a type, found before one arrives."""

import re

from shared.events.model import EventType
from shared.reactions.call_faults import find_call_faults, reference_fault, shape_of_call
from shared.reactions.closures import Node
from shared.reactions.comparison_faults import find_comparison_faults
from shared.reactions.expression_nodes import ExpressionFault, fault_at, first_field
from shared.reactions.expressions import Expression, compile_expression
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
    shape_of,
    without_name,
)
from shared.schema.wording import cut, nearest, suggest

_PATH = re.compile(r"[a-z_]{1,40}(?:\.[A-Za-z_]\w{0,100}){1,5}", re.ASCII)


def find_expression_faults(expression: Expression, *on: EventType) -> tuple[ExpressionFault, ...]:
    """Return the faults that an expression has for every event of these types."""
    walk = _ExpressionWalk(on)
    walk.shape(expression.tree, shape_of(*on))
    return tuple(walk.faults)


def is_path(text: str, *on: EventType) -> bool:
    """Say whether a text is exactly the path of a field of such events: model.name."""
    if _PATH.fullmatch(text) is None or text.partition(".")[0] not in shape_of(*on).fields:
        return False
    return not find_expression_faults(compile_expression(text), *on)


def shape_of_result(expression: Expression, *on: EventType) -> Shape:
    """Return the shape of the value that an expression gives for such events."""
    return _ExpressionWalk(on).shape(expression.tree, shape_of(*on))


def sample_of(expression: Expression, *on: EventType) -> object:
    """Return a value of the expression's kind; None for text, and for an unknown kind."""
    match shape_of_result(expression, *on):
        case RecordShape() | FreeMap():
            return {}
        case Many():
            return []
        case Plain(kind=Kind.NUMBER):
            return 1.5
        case Plain(kind=Kind.BOOLEAN):
            return True
    return None


class _ExpressionWalk:
    """Follows an expression through the shapes; where a shape is not known, all is accepted."""

    def __init__(self, on: tuple[EventType, ...]) -> None:
        self.faults: list[ExpressionFault] = []
        self._on = on

    def shape(self, node: Node, current: Shape) -> Shape:
        """Return the shape of the node's result when it is applied to `current`."""
        handler = getattr(self, f"_{node['type']}", None)
        if handler is None:
            return ANYTHING
        result: Shape = handler(node, current)
        return result

    def _fault(self, node: Node, message: str, hint: str) -> Shape:
        self.faults.append(fault_at(node, message, hint))
        return ANYTHING

    def _field(self, node: Node, current: Shape) -> Shape:
        word = node["value"]
        if isinstance(current, RecordShape):
            if word in current.fields:
                return current.fields[word]
            return self._fault(node, *self._unknown_field(node, current))
        if isinstance(current, FreeMap):
            return Plain(Kind.TEXT, cut(f"{current.named}.{word}"), is_free=True)
        if isinstance(current, Many):
            listed = f"`{current.named}`" if current.named else "it"
            return self._fault(
                node,
                f"{listed} is a list and has no `{cut(word)}`",
                f"Take one or all: {current.named}[0], {current.named}[*].",
            )
        if isinstance(current, Plain):
            return self._fault(node, *_no_field_in_plain(word, current))
        return ANYTHING

    def _unknown_field(self, node: Node, record: RecordShape) -> tuple[str, str]:
        word = node["value"]
        owner = (
            f"`{record.named}`"
            if record.named
            else f"{'an' if self._on[0][0] in 'AEIOU' else 'a'} {' or '.join(self._on)} event"
        )
        message = f"{owner} has no `{cut(word)}`"
        if nearest(word, record.fields) is None and not record.named:
            if word == "None":
                return message, "A missing value is equal to null, in backticks: `null`."
            if node.get("quoted"):
                return message, f"Text goes in single quotes: '{cut(word)}'."
            if word.lower() in ("true", "false", "null"):
                return message, f"The value {word.lower()} goes in backticks: `{word.lower()}`."
        return message, suggest(word, record.fields)

    def _subexpression(self, node: Node, current: Shape) -> Shape:
        for child in node["children"]:
            current = self.shape(child, current)
        return current

    _index_expression = _subexpression
    _pipe = _subexpression

    def _index(self, node: Node, current: Shape) -> Shape:
        self._require_list(node, current)
        return current.item if isinstance(current, Many) else ANYTHING

    def _slice(self, node: Node, current: Shape) -> Shape:
        self._require_list(node, current)
        if node["children"][2] == 0:
            return self._fault(node, "a slice can't go in steps of 0", "Leave the step out.")
        return current

    def _same(self, node: Node, current: Shape) -> Shape:
        return current

    _current = _identity = _same

    def _require_list(self, node: Node, shape: Shape) -> None:
        """Add a fault for brackets after a value that is never a list: they give null."""
        if isinstance(shape, Many | Anything) or not shape.named:
            return
        hint = "Brackets are for lists."
        if not isinstance(shape, Plain):
            hint = f"A name goes after a dot; values({shape.named}) is the list of the values."
        self._fault(node, f"`{shape.named}` is {name_kind(shape)}, not a list", hint)

    def _projection(self, node: Node, current: Shape) -> Shape:
        left = self.shape(node["children"][0], current)
        self._require_list(first_field(node["children"][0]) or node, left)
        return self._each(node["children"][1], left)

    def _filter_projection(self, node: Node, current: Shape) -> Shape:
        left, right, condition = node["children"]
        items = self.shape(left, current)
        self._require_list(first_field(left) or node, items)
        self._each(condition, items)
        return self._each(right, items)

    def _each(self, node: Node, items: Shape) -> Shape:
        if isinstance(items, Many):
            return Many(items.named, self.shape(node, items.item))
        self.shape(node, ANYTHING)
        return ANYTHING

    def _value_projection(self, node: Node, current: Shape) -> Shape:
        self.shape(node["children"][0], current)
        self.shape(node["children"][1], ANYTHING)
        return ANYTHING

    def _flatten(self, node: Node, current: Shape) -> Shape:
        items = self.shape(node["children"][0], current)
        if isinstance(items, Many):
            return items.item if isinstance(items.item, Many) else items
        return ANYTHING

    def _multi_select_list(self, node: Node, current: Shape) -> Shape:
        for child in node["children"]:
            self.shape(child, current)
        return Many("", ANYTHING)

    def _multi_select_dict(self, node: Node, current: Shape) -> Shape:
        self._multi_select_list(node, current)
        return ANYTHING

    def _key_val_pair(self, node: Node, current: Shape) -> Shape:
        return self.shape(node["children"][0], current)

    def _expref(self, node: Node, current: Shape) -> Shape:
        self.faults.append(reference_fault(node))
        return ANYTHING

    def _literal(self, node: Node, current: Shape) -> Shape:
        value = node["value"]
        if isinstance(value, str) and is_path(value, *self._on):
            hint = f"Leave the quotes out for a field of the event: {value}."
            return self._fault(node, f"'{value}' is text, the same for every event", hint)
        if isinstance(value, bool):
            return Plain(Kind.BOOLEAN)
        if isinstance(value, str):
            return Plain(Kind.TEXT)
        return Plain(Kind.NUMBER) if isinstance(value, int | float) else ANYTHING

    def _or_expression(self, node: Node, current: Shape) -> Shape:
        left, right = (without_name(self.shape(child, current)) for child in node["children"])
        return left if left == right else ANYTHING

    _and_expression = _or_expression

    def _not_expression(self, node: Node, current: Shape) -> Shape:
        self.shape(node["children"][0], current)
        return Plain(Kind.BOOLEAN)

    def _comparator(self, node: Node, current: Shape) -> Shape:
        left, right = (self.shape(child, current) for child in node["children"])
        self.faults += find_comparison_faults(node, left, right)
        return Plain(Kind.BOOLEAN)

    def _function_expression(self, node: Node, current: Shape) -> Shape:
        shapes = [self._argument(child, current) for child in node["children"]]
        self.faults += find_call_faults(node, shapes)
        return shape_of_call(node, shapes)

    def _argument(self, node: Node, current: Shape) -> Shape:
        if node["type"] != "expref":
            return self.shape(node, current)
        self.shape(node["children"][0], ANYTHING)  # only the function knows its items
        return ANYTHING


def _no_field_in_plain(word: str, shape: Plain) -> tuple[str, str]:
    """Return the message and the hint for a field of a plain value, which has none."""
    if not shape.named:
        message = f"`{cut(word)}` is looked for in {shape.kind}, which has no fields"
        return message, "Write `||` for or: `|` applies its right side to the left one."
    hint = f"It ends at `{shape.named}`."
    if shape.is_free:
        owner, _, name = shape.named.rpartition(".")
        hint = f'A name with a dot goes in double quotes: {owner}."{name}.{cut(word)}".'
    return f"`{shape.named}` is {shape.kind} and has no `{cut(word)}`", hint
