"""What can't be right about an expression for any event of a type, found before there is one."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shared.events.model import EventType
from shared.reactions.expressions import Expression, Node, compile_expression, operands, unwrapped
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
    shape_of,
)
from shared.schema.wording import cut, nearest, suggest

_PATH = re.compile(r"[a-z_]{1,40}(?:\.[A-Za-z_]\w{0,100}){1,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ExpressionFault:
    """A part of an expression that can't be right. `offset` is from 0, None if not known."""

    message: str
    hint: str
    offset: int | None


def find_expression_faults(
    expression: Expression, event_type: EventType
) -> tuple[ExpressionFault, ...]:
    """Return what can't be right about the expression for any event of this type."""
    walk = _ExpressionWalk(event_type)
    walk.shape(expression.tree, shape_of(event_type))
    return tuple(walk.faults)


def is_path(text: str, event_type: EventType) -> bool:
    """Say whether a text is the way to a field of such events, and nothing else: model.name."""
    if _PATH.fullmatch(text) is None or text.partition(".")[0] not in shape_of(event_type).fields:
        return False
    return not find_expression_faults(compile_expression(text), event_type)


def sample_of(expression: Expression, event_type: EventType) -> object:
    """Return a value of the kind that the expression gives; None for text, and if not known."""
    match _ExpressionWalk(event_type).shape(expression.tree, shape_of(event_type)):
        case RecordShape() | FreeMap():
            return {}
        case Many():
            return []
        case Plain(kind=Kind.NUMBER):
            return 1.5
        case Plain(kind=Kind.BOOLEAN):
            return True
    return None


def find_condition_faults(
    expression: Expression, event_type: EventType
) -> tuple[ExpressionFault, ...]:
    """Return as `find_faults` does, and also which results of it can't be a condition."""
    faults = find_expression_faults(expression, event_type)
    return faults or tuple(_find_unfit(expression.text, 0, event_type))


def _find_unfit(text: str, offset: int, event_type: EventType) -> Iterator[ExpressionFault]:
    """Yield a fault for each part that can become the result and is not true or false."""
    start, bare = unwrapped(text)
    operator, sides = operands(bare)
    if operator == "and":
        # What is before it only decides where it is false.
        at, side = sides[-1]
        yield from _find_unfit(side, offset + start + at, event_type)
        return
    tree = compile_expression(bare).tree
    result = _ExpressionWalk(event_type).shape(tree, shape_of(event_type))
    if tree["type"] == "multi_select_dict":
        result = FreeMap("")
    if isinstance(result, Anything):
        for at, side in sides if operator == "or" else ():
            yield from _find_unfit(side, offset + start + at, event_type)
    elif not isinstance(result, Plain) or result.kind is not Kind.BOOLEAN:
        kind = result.kind if isinstance(result, Plain) else _KINDS[type(result)]
        message = f"`{cut(bare)}` gives {kind}, a condition has to give true or false"
        hint = _compare_hint(result, cut(bare), is_compound=operator != "")
        if tree["type"] == "literal":
            hint = "Compare on each side, or ask a list: contains(['x', 'y'], model.name)."
        yield ExpressionFault(message, hint, offset + start or None)


_KINDS = {RecordShape: "a mapping", FreeMap: "a mapping", Many: "a list"}


def _tell_no_field(word: str, shape: Plain) -> tuple[str, str]:
    """Say that a plain value has no fields: one of it is null for every event."""
    if not shape.named:
        told = f"`{cut(word)}` is looked for in {shape.kind}, which has no fields"
        return told, "Write `||` for or: after `|` there is only what is before it."
    hint = f"It ends at `{shape.named}`."
    if shape.is_free:
        owner, _, name = shape.named.rpartition(".")
        hint = f'A name with a dot goes in double quotes: {owner}."{name}.{cut(word)}".'
    return f"`{shape.named}` is {shape.kind} and has no `{cut(word)}`", hint


def _compare_hint(shape: Shape, text: str, *, is_compound: bool) -> str:
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


def _is_never_null(shape: Shape) -> bool:
    """Say whether a value is a field that is text for every event: '' where there is nothing."""
    return (
        isinstance(shape, Plain)
        and shape.kind is Kind.TEXT
        and shape.named != ""
        and not shape.is_free
        and not shape.has_order  # some times are null
        and "[" not in shape.named  # of a list, an item that may not be there
    )


#: What other languages' functions are called, and how the same is written here.
_FUNCTION_HINTS = {
    "eq": "Write `==` between the two.",
    "ne": "Write `!=` between the two.",
    "and": "Write `&&` between the two.",
    "or": "Write `||` between the two.",
    "not": "Write `!` before what is not to hold.",
    "in": "Ask whether a list holds it: contains(['Failed', 'Canceled'], run.status).",
    "format": "Put the expressions into the text, or join them: join('-', [model.name, 'x']).",
    "coalesce": "A missing field is null by itself, and `||` gives a default: model.tags.a || 'b'.",
    "always": "Leave `when` out to react always.",
}


_BOOLEAN_FUNCTIONS = frozenset({"contains", "ends_with", "starts_with", "is_true", "matches"})
_TEXT_FUNCTIONS = frozenset({"join", "lower", "to_string", "type"})
_NUMBER_FUNCTIONS = frozenset({"abs", "avg", "ceil", "floor", "length", "sum", "to_number"})


class _ExpressionWalk:
    """Follows an expression through the shapes; where a shape is not known, all is accepted."""

    def __init__(self, event_type: EventType) -> None:
        self.faults: list[ExpressionFault] = []
        self._event_type = event_type

    def shape(self, node: Node, current: Shape) -> Shape:
        """Return the shape of what the node gives when applied to `current`."""
        handler = getattr(self, f"_{node['type']}", None)
        if handler is None:
            return ANYTHING
        result: Shape = handler(node, current)
        return result

    def _fault(self, node: Node, message: str, hint: str) -> Shape:
        self.faults.append(ExpressionFault(message, hint, node.get("start")))
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
            return self._fault(node, *_tell_no_field(word, current))
        return ANYTHING

    def _unknown_field(self, node: Node, record: RecordShape) -> tuple[str, str]:
        word = node["value"]
        owner = (
            f"`{record.named}`"
            if record.named
            else f"{'an' if self._event_type[0] in 'AEIOU' else 'a'} {self._event_type} event"
        )
        message = f"{owner} has no `{cut(word)}`"
        if nearest(word, record.fields) is None and not record.named:
            if word == "None":
                return message, "What is missing is equal to null, in backticks: `null`."
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
        """Blame brackets after what is no list for any event: they give null."""
        if isinstance(shape, Many | Anything) or not shape.named:
            return
        hint = "Brackets are for lists."
        if not isinstance(shape, Plain):
            hint = f"A name goes after a dot; values({shape.named}) is the list of the values."
        kind = shape.kind if isinstance(shape, Plain) else _KINDS[type(shape)]
        self._fault(node, f"`{shape.named}` is {kind}, not a list", hint)

    def _projection(self, node: Node, current: Shape) -> Shape:
        left = self.shape(node["children"][0], current)
        self._require_list(_first_field(node["children"][0]) or node, left)
        return self._each(node["children"][1], left)

    def _filter_projection(self, node: Node, current: Shape) -> Shape:
        left, right, condition = node["children"]
        items = self.shape(left, current)
        self._require_list(_first_field(left) or node, items)
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
        # It is a value like any other to the library, and true.
        hint = "It belongs into an argument of sort_by(), min_by(), max_by() or map()."
        return self._fault(_first_field(node) or node, "`&` can't stand here", hint)

    def _literal(self, node: Node, current: Shape) -> Shape:
        value = node["value"]
        if isinstance(value, str) and is_path(value, self._event_type):
            hint = f"Leave the quotes out for what the event has: {value}."
            return self._fault(node, f"'{value}' is text, the same for every event", hint)
        if isinstance(value, bool):
            return Plain(Kind.BOOLEAN)
        if isinstance(value, str):
            return Plain(Kind.TEXT)
        return Plain(Kind.NUMBER) if isinstance(value, int | float) else ANYTHING

    def _or_expression(self, node: Node, current: Shape) -> Shape:
        left, right = (_anonymous(self.shape(child, current)) for child in node["children"])
        return left if left == right else ANYTHING

    _and_expression = _or_expression

    def _not_expression(self, node: Node, current: Shape) -> Shape:
        self.shape(node["children"][0], current)
        return Plain(Kind.BOOLEAN)

    def _comparator(self, node: Node, current: Shape) -> Shape:
        left, right = (self.shape(child, current) for child in node["children"])
        one, two = node["children"]
        if isinstance(left, Plain) and isinstance(right, Plain) and left.kind != right.kind:
            self._mismatch(node, left, right)
        elif self._blame_never(one, left, two, right) or self._blame_never(two, right, one, left):
            pass
        elif node["value"] not in ("eq", "ne") and _has_no_order(left, right):
            hint = "Make numbers of both: to_number(model.version) > `9`."
            self._fault(_first_field(node) or node, "text has no order in an expression", hint)
        elif node["value"] in ("eq", "ne"):
            self._choice(node, left, node["children"][1])
            self._choice(node, right, node["children"][0])
        return Plain(Kind.BOOLEAN)

    def _blame_never(self, node: Node, shape: Shape, other: Node, others: Shape) -> bool:
        """Blame what is never what it is compared with: a list a number, a name nothing."""
        named = getattr(shape, "named", "")
        if isinstance(shape, Many | FreeMap | RecordShape) and isinstance(others, Plain):
            told = f"`{named}` ({_KINDS[type(shape)]})" if named else _KINDS[type(shape)]
            hint = "Take one of it, or the greatest: max(…); or ask for one: contains(…, 'x')."
            if not isinstance(shape, Many):
                hint = _compare_hint(shape, named, is_compound=False)
            message = f"{told} is compared with {others.kind}"
            self._fault(_first_field(node) or node, message, hint)
        elif _is_never_null(shape) and other["type"] == "literal" and other["value"] is None:
            hint = f"Where there is none, it is an empty text: {named} == ''."
            self._fault(_first_field(node) or node, f"`{named}` is never null", hint)
        elif named in _NAMES and "*" in _text_of(other):
            hint = f"Compare with a pattern: matches({named}, '{cut(_text_of(other))}')."
            message = f"`{named}` is never '{cut(_text_of(other))}'"
            self._fault(_first_field(node) or node, message, hint)
        elif _is_lowered(node) and _text_of(other) != _text_of(other).lower():
            hint = f"Write '{cut(_text_of(other).lower())}'."
            message = f"lower() never gives '{cut(_text_of(other))}'"
            self._fault(_first_field(node) or node, message, hint)
        else:
            return False
        return True

    def _choices_of(
        self, node: Node, name: str, arguments: list[Node], shapes: list[Shape]
    ) -> None:
        """Blame a text that a function looks for in vain in a value that has few."""
        if name == "matches" and (fault := _find_no_glob(*arguments)):
            self._fault(node, *fault)
        elif name == "contains" and len(shapes) == 2 and not isinstance(shapes[0], Plain):
            for item in _items_of(arguments[0]):
                self._choice(arguments[1], shapes[1], item)
        elif name in _FITS and len(shapes) == 2 and isinstance(shapes[0], Plain):
            text, field = _text_of(arguments[1]), shapes[0]
            if text and field.choices and not any(_FITS[name](it, text) for it in field.choices):
                valid = suggest("", filter(None, field.choices))
                message = f"{name}() never holds for `{field.named}` and '{cut(text)}'"
                self._fault(_first_field(arguments[0]) or node, message, valid)

    def _choice(self, node: Node, shape: Shape, other: Node) -> None:
        """Blame a text that the value which it is compared with can never be."""
        if not isinstance(shape, Plain) or not shape.choices or other["type"] != "literal":
            return
        text = other["value"]
        if isinstance(text, str) and text not in shape.choices:
            hint = suggest(text, filter(None, shape.choices))
            message = f"`{shape.named}` is never '{cut(text)}'"
            self._fault(_first_field(node) or node, message, hint)

    def _mismatch(self, node: Node, left: Plain, right: Plain) -> None:
        one, two = (
            f"`{side.named}` ({side.kind})" if side.named else str(side.kind)
            for side in (left, right)
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
        self._fault(_first_field(node) or node, f"{one} is compared with {two}", hint)

    def _function_expression(self, node: Node, current: Shape) -> Shape:
        name, arguments = node["value"], node["children"]
        shapes = [self._argument(child, current) for child in arguments]
        arity = FUNCTIONS.get(name)
        if arity is None:
            hint = _FUNCTION_HINTS.get(name.lower()) or suggest(name, FUNCTIONS)
            return self._fault(node, f"there is no function `{cut(name)}()`", hint)
        fits = len(arguments) == arity.count or (arity.or_more and len(arguments) > arity.count)
        if not fits:
            least = "at least " if arity.or_more else ""
            return self._fault(
                node,
                f"{name}() takes {least}{arity.count} argument{'s' * (arity.count != 1)}, "
                f"found {len(arguments)}",
                "",
            )
        for argument, child, shape in zip(SIGNATURES[name], arguments, shapes, strict=False):
            if child["type"] == "expref" and "expref" not in argument:
                self._expref(child, current)
            elif not _can_take(argument, shape):
                self._unfit(node, name, shape)
        self._choices_of(node, name, arguments, shapes)
        if name == "not_null" and all(
            _anonymous(shape) == _anonymous(shapes[0]) for shape in shapes
        ):
            return _anonymous(shapes[0])
        return _result_of(name)

    def _argument(self, node: Node, current: Shape) -> Shape:
        if node["type"] != "expref":
            return self.shape(node, current)
        self.shape(node["children"][0], ANYTHING)  # to what it is applied, the function knows
        return ANYTHING

    def _unfit(self, node: Node, name: str, shape: Shape) -> None:
        """Blame an argument that the function can take for no event."""
        kind = shape.kind if isinstance(shape, Plain) else _KINDS[type(shape)]
        named = getattr(shape, "named", "")
        is_map = isinstance(shape, FreeMap | RecordShape)
        hint = f"Take its names or its values: keys({named}), values({named})." if is_map else ""
        told = f"`{named}`, which is {kind}" if named else str(kind)
        self._fault(_first_field(node) or node, f"{name}() can't take {told}", hint)


def _can_take(argument: frozenset[str], shape: Shape) -> bool:
    """Say whether a function's argument may be of this shape: its types, () for any."""
    kinds = {kind.partition("-")[0] for kind in argument}
    if not argument or isinstance(shape, Anything):
        return True
    if isinstance(shape, Plain):
        return _TYPES[shape.kind] in kinds
    return ("array" if isinstance(shape, Many) else "object") in kinds


_TYPES = {Kind.TEXT: "string", Kind.NUMBER: "number", Kind.BOOLEAN: "boolean"}


#: What asks whether a text is like another.
_FITS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda value, text: text in value,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
    "matches": lambda value, glob: fnmatchcase(value.lower(), glob.lower()),
}


#: Names that Azure lets have no `*` in them.
_NAMES = frozenset(
    {
        *("model.name", "model.version", "service.name", "run.id", "run.experiment_name"),
        *("workspace.name", "alert.endpoint", "alert.deployment"),
    }
)
_REGEX = re.compile(r"\^|.*(?:\$|\\[dwsDWSb.])")


def _find_no_glob(text: Node, glob: Node) -> tuple[str, str] | None:
    """Return what is wrong, and would be right, where matches() is given no glob."""
    if _REGEX.match(_text_of(glob)):
        hint = "Write `*` for any text, and nothing for its ends: matches(model.name, 'churn-*')."
        return f"'{cut(_text_of(glob))}' is a regular expression, matches() takes a glob", hint
    if re.search(r"[*?]", _text_of(text)) and glob["type"] != "literal":
        return "matches() takes the text first, then the glob", "Write them the other way round."
    return None


def _text_of(node: Node) -> str:
    """Return the text that is written there, "" where it is no text."""
    value = node["value"] if node["type"] == "literal" else ""
    return value if isinstance(value, str) else ""


def _items_of(node: Node) -> Iterator[Node]:
    """Yield the items of a list that is written there."""
    if node["type"] == "multi_select_list":
        yield from node["children"]
    elif node["type"] == "literal" and isinstance(node["value"], list):
        yield from ({"type": "literal", "value": item, "children": []} for item in node["value"])


def _is_lowered(node: Node) -> bool:
    return bool(node["type"] == "function_expression" and node["value"] == "lower")


def _has_no_order(*sides: Shape) -> bool:
    plain = [side for side in sides if isinstance(side, Plain)]
    is_text = any(side.kind is not Kind.NUMBER for side in plain)
    return is_text and not any(side.has_order for side in plain)


def _result_of(name: str) -> Shape:
    if name in _BOOLEAN_FUNCTIONS:
        return Plain(Kind.BOOLEAN)
    if name in _TEXT_FUNCTIONS:
        return Plain(Kind.TEXT)
    return Plain(Kind.NUMBER) if name in _NUMBER_FUNCTIONS else ANYTHING


def _anonymous(shape: Shape) -> Shape:
    return Plain(shape.kind) if isinstance(shape, Plain) else shape


def _first_field(node: Node) -> Node | None:
    """Return the first identifier in the node, to have a place to point at."""
    if "start" in node:
        return node
    for child in node["children"]:
        place = _first_field(child) if isinstance(child, dict) else None
        if place is not None:
            return place
    return None
