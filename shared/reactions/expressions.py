"""JMESPath as reactions use it: with a few functions of our own, and errors that have a place."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from jmespath import exceptions, lexer, parser

from shared.base.errors import ExpressionFailed
from shared.reactions.closures import Closure, Node, compile_tree, is_truthy
from shared.schema.wording import cut, value_and_kind

LONGEST_EXPRESSION = 2_000
DEEPEST_EXPRESSION = 50


class ExpressionSyntax(Exception):
    """A text is not a valid expression. `offset` is the place of the error, from 0."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


class _Parser(parser.Parser):
    """Notes in each identifier where it begins, which the library does not keep.

    If a later version of the library renames these methods, findings only lose their columns.
    """

    _CACHE: ClassVar[dict[str, Any]] = {}  # not the library's: its trees have no positions
    #: `!` applies to the whole path that follows, and binds stronger than `==`. The library reads
    #: `!run.is_root` as the field `is_root` of `!run`, which is null for every event.
    BINDING_POWER: ClassVar[dict[str, int]] = {**parser.Parser.BINDING_POWER, "not": 8}

    def _token_nud_unquoted_identifier(self, token: Any) -> Node:
        return super()._token_nud_unquoted_identifier(token) | {"start": token["start"]}  # type: ignore[misc, no-any-return]

    def _token_nud_quoted_identifier(self, token: Any) -> Node:
        node = super()._token_nud_quoted_identifier(token)  # type: ignore[misc]
        return node | {"start": token["start"], "quoted": True}  # type: ignore[no-any-return]

    def _token_led_lparen(self, left: Node) -> Node:
        return super()._token_led_lparen(left) | {"start": left.get("start")}  # type: ignore[misc, no-any-return]


#: A condition is shown for every event that it keeps from a reaction.
_shown = lru_cache(maxsize=4096)(cut)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. Expressions are equal if they are written the same.

    `conditions` are the parts of a `… && …` on the top level, () if there is none.

    >>> when = compile_expression("is_true(model.tags.deploy) && model.name == 'churn'")
    >>> when.holds({"model": {"name": "churn", "tags": {"deploy": "yes"}}})
    True
    >>> when.explain({"model": {"name": "fraud", "tags": {"deploy": "yes"}}})
    "`model.name == 'churn'` is false"
    """

    text: str
    tree: Node = field(repr=False, compare=False)
    conditions: "tuple[Expression, ...]" = field(default=(), repr=False, compare=False)
    _run: Closure = field(init=False, repr=False, compare=False)
    #: The names of the tags that it reads; None if it reads all of them.
    tags: frozenset[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make once whatever every event needs."""
        object.__setattr__(self, "_run", compile_tree(self.tree))
        read = set(_tags_in(self.tree))
        tags = None if None in read else frozenset(filter(None, read))
        object.__setattr__(self, "tags", tags)

    def names(self, *fields: str) -> bool:
        """Say whether it has one of these fields in it, quoted or not."""
        return _names(self.tree, fields)

    def evaluate(self, data: Mapping[str, Any]) -> Any:
        """Return the expression's value for the event's data.

        Raises: ExpressionFailed.
        """
        try:
            return self._run(data)
        except exceptions.JMESPathTypeError as error:
            raise ExpressionFailed(
                f"`{cut(self.text)}`: {error.function_name}() can't take"
                f" {value_and_kind(error.current_value)}"
            ) from error
        # The library lets errors of its functions through: overflow, text compared with numbers, a
        # slice step of 0.
        except Exception as error:
            raise ExpressionFailed(f"`{cut(self.text)}`: {cut(str(error))}") from error

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Say whether the condition holds.

        As in JMESPath null, false, and an empty text, list or mapping do not hold. Nor does an
        expression that can't be evaluated for this event: `explain` says why.
        """
        try:
            return is_truthy(self._run(data))
        except Exception:  # noqa: BLE001 - the library lets errors of its functions through
            return False

    def explain(self, data: Mapping[str, Any]) -> str:
        """Say which part of a condition is the first that does not hold."""
        for part in self.conditions or (self,):
            try:
                value = part.evaluate(data)
            except ExpressionFailed as error:
                return error.message
            if not is_truthy(value):
                return f"`{_shown(part.text)}` is {_untrue_value(value)}"
        return f"`{_shown(self.text)}` does not hold"


def _tags_in(node: Node) -> Iterator[str | None]:
    """Yield the names of the tags that are read, None for all of them."""
    children = [child for child in node["children"] if isinstance(child, dict)]
    if _is_field(node) and node["value"] == "tags":
        yield None
    if node["type"] == "subexpression":  # a path, each part of which is a child
        for part, below in zip(children, [*children[1:], None], strict=True):
            if below is not None and _is_field(below) and list(_tags_in(part)) == [None]:
                yield below["value"]
            else:
                yield from _tags_in(part)
    else:
        for child in children:
            yield from _tags_in(child)


def _names(node: Node, fields: tuple[str, ...]) -> bool:
    if _is_field(node) and node["value"] in fields:
        return True
    return any(_names(child, fields) for child in node["children"] if isinstance(child, dict))


def _is_field(node: Node) -> bool:
    return bool(node["type"] == "field")


def _untrue_value(value: Any) -> str:
    """Return a value that is not true, in the words of messages."""
    return "null" if value is None else "false" if value is False else value_and_kind(value)


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Raises: ExpressionSyntax.
    """
    if len(text) > LONGEST_EXPRESSION:
        raise ExpressionSyntax(
            f"the expression has {len(text)} characters, at most {LONGEST_EXPRESSION} are allowed",
            0,
        )
    tree = _parse(text)
    conditions = tuple(Expression(part, _parse(part)) for part in _conjuncts(text))
    return Expression(text, tree, conditions)


def _parse(text: str) -> Node:
    too_deep = ExpressionSyntax("the expression is nested too deeply", 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PendingDeprecationWarning)
            tree: Node = _Parser().parse(text).parsed  # type: ignore[assignment]
    except PendingDeprecationWarning:
        raise ExpressionSyntax(
            "the text between backticks is not JSON",
            text.find("`"),
            "Text goes in single quotes, numbers and true or false in backticks.",
        ) from None
    except exceptions.JMESPathError as error:
        raise _syntax(text, error) from error
    except RecursionError:
        raise too_deep from None
    if _depth(tree) > DEEPEST_EXPRESSION:
        raise too_deep
    return tree


def _depth(tree: Node) -> int:
    deepest, todo = 0, [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        todo += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]
    return deepest


_WORD_HINTS = {
    "and": "Write `&&`.",
    "or": "Write `||`.",
    "not": "Write `!` before the condition.",
    "=": "Write `==` to compare.",
    "is": "Write `== …` or `!= …`; a missing value is equal to `null`, in backticks.",
    "like": "Compare with a pattern: matches(model.name, 'churn-*').",
    "~": "Compare with a pattern: matches(model.name, 'churn-*').",
    "?": "A missing field is null by itself, and `||` gives a default: model.tags.stage || 'test'.",
    "{": "Leave the braces out: `when` is an expression as it is.",
    "in": "Ask whether a list holds it: contains(['Failed', 'Canceled'], run.status).",
    "$": "A field is named as it is: model.name.",
    "&": "Write `&&`.",
    **dict.fromkeys("\u2018\u2019\u201c\u201d", "Text goes in straight single quotes: 'prod'."),
    "-": 'A name with a dash goes in double quotes: model.tags."deploy-to".',
}


def _syntax(text: str, error: exceptions.JMESPathError) -> ExpressionSyntax:
    if isinstance(error, exceptions.EmptyExpressionError) or not text.strip():
        return ExpressionSyntax("the expression is empty", 0)
    if isinstance(error, exceptions.IncompleteExpressionError):
        return ExpressionSyntax("the expression ends too early", len(text))
    if not isinstance(error, exceptions.ParseError):
        return ExpressionSyntax(cut(str(error)), 0)
    offset = min(error.lex_position, len(text))
    token = str(error.token_value)
    if isinstance(error, exceptions.LexerError) and "nclosed" in error.message:
        return ExpressionSyntax("a quote is not closed", offset, f"It begins at {cut(token)}")
    hint = _WORD_HINTS.get(token.lower(), "")
    if text[offset - 1 : offset + 1] == "=~" or text[offset : offset + 2] == "=~":
        hint = _WORD_HINTS["~"]
    if text[:offset].endswith("<"):
        hint = "Write `!=` for not equal."
    if text[:offset].rstrip().endswith("["):
        hint = 'A name goes after a dot: model.tags.team, model.tags."cost-centre".'
    if text[:offset].rstrip().lower().endswith(("not", "not(")):
        hint = _WORD_HINTS["not"]
    if error.token_type == "NUMBER":
        hint = "Numbers go in backticks: drift.metrics[0].value > `0.3`."
    if not token:
        return ExpressionSyntax("the expression ends too early", len(text))
    return ExpressionSyntax(f"unexpected `{cut(token)}`", offset, hint)


def _conjuncts(text: str) -> Iterator[str]:
    """Yield the sides of the `&&` on the top level, unless a weaker operator is there."""
    operator, sides = operands(text)
    if operator == "and":
        yield from (side for _, side in sides)


def operands(text: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Return the weakest operator on the top level of a valid expression, and its sides.

    The operator is "pipe", "or", "and", or "" with the whole text as the only side. A side is its
    offset from 0, and its text.
    """
    cuts: dict[str, list[tuple[int, int]]] = {"pipe": [], "or": [], "and": []}
    depth = 0
    for token in lexer.Lexer().tokenize(text):
        kind = token["type"]
        if kind in ("lparen", "lbracket", "lbrace", "filter"):
            depth += 1
        elif kind in ("rparen", "rbracket", "rbrace"):
            depth -= 1
        elif depth == 0 and kind in cuts:
            cuts[kind].append((token["start"], token["start"] + len(token["value"])))
    operator = next((kind for kind, found in cuts.items() if found), "")
    found = cuts.get(operator, [])
    starts = [0, *(end for _, end in found)]
    ends = [*(start for start, _ in found), len(text)]
    return operator, tuple(
        _stripped(text, start, end) for start, end in zip(starts, ends, strict=True)
    )


def unwrapped(text: str) -> tuple[int, str]:
    """Return the offset and the text of a valid expression without the parentheses around it."""
    offset, text = _stripped(text, 0, len(text))
    while text.startswith("("):
        depth = 0
        for token in lexer.Lexer().tokenize(text):
            depth += {"lparen": 1, "rparen": -1}.get(token["type"], 0)
            if depth == 0:
                break
        if token["start"] != len(text) - 1:
            break
        start, text = _stripped(text, 1, len(text) - 1)
        offset += start
    return offset, text


def _stripped(text: str, start: int, end: int) -> tuple[int, str]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), part.strip()
