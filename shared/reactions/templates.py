"""Values of actions that are made from the event: text that holds `${{ expressions }}`."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.base.errors import ExpressionFailed
from shared.reactions.expressions import (
    LONGEST_EXPRESSION,
    Expression,
    ExpressionSyntax,
    compile_expression,
)
from shared.reactions.model import Step
from shared.schema.wording import cut

OPEN = "${{"
CLOSE = "}}"


@dataclass(frozen=True, slots=True)
class Hole:
    """One `${{ expression }}`. `offset` is where the expression begins in the text."""

    expression: Expression
    offset: int


@dataclass(frozen=True, slots=True)
class Template:
    """A text that is completed from the event."""

    text: str
    parts: tuple[str | Hole, ...] = field(repr=False, compare=False)

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The expressions in the text."""
        return tuple(part for part in self.parts if isinstance(part, Hole))

    def render(self, data: Mapping[str, Any]) -> Any:
        """Return the completed text, or the bare value if the text is one expression only.

        Raises: ExpressionFailed, also if a value within longer text is missing.
        """
        if len(self.parts) == 1 and isinstance(self.parts[0], Hole):
            return self.parts[0].expression.evaluate(data)
        return "".join(
            part if isinstance(part, str) else _as_text(part.expression, data)
            for part in self.parts
        )


#: Parts that anybody can write who can register a model or run a job. Tags make the cause.
_FREE = ("tags", "properties", "cause")


def reads_tags(value: object) -> bool:
    """Say whether a value, or one within it, reads a tag or a property of the event by name."""
    if isinstance(value, Mapping | list):
        return any(map(reads_tags, _within(value)))
    return isinstance(value, Template) and any(
        hole.expression.names(*_FREE) for hole in value.holes
    )


def is_made_from_tags(value: object, data: Mapping[str, Any]) -> bool:
    """Say whether a tag or a property of this event is used in a value, in any spelling.

    `values(run)` and `run.*` name no tag, so the value is also made without tags and compared. For
    a mapping or a list, one such value is enough.
    """
    if isinstance(value, Mapping | list):
        return any(is_made_from_tags(item, data) for item in _within(value))
    if not isinstance(value, Template) or reads_tags(value):
        return reads_tags(value)
    bare = {
        name: part | {free: {} for free in _FREE if free in part}
        if isinstance(part, dict)
        else part
        for name, part in data.items()
        if name not in _FREE
    }
    try:
        return bool(value.render(bare) != value.render(data))
    except ExpressionFailed:
        return True


def value_at(params: Mapping[str, Any], field: str) -> object:
    """Return the value at a dotted field, or the template that makes a part above it."""
    value: object = params
    for part in field.split("."):
        if not isinstance(value, Mapping):
            break
        value = value.get(part)
    return value


def has_expressions(value: object) -> bool:
    """Say whether a value, or one within it, is completed from the event."""
    if isinstance(value, Mapping | list):
        return any(map(has_expressions, _within(value)))
    return isinstance(value, Template)


def _within(value: Mapping[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value


def _as_text(expression: Expression, data: Mapping[str, Any]) -> str:
    value = expression.evaluate(data)
    if value is None:
        text = cut(expression.text)
        raise ExpressionFailed(
            f"`{text}` gave nothing, which can't be part of a text",
            hint=f"Give it a default: {text} || 'none'.",
        )
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ExpressionFailed(f"`{cut(expression.text)}` gave no plain value") from error


def compile_template(text: str) -> Template | None:
    """Compile a text with expressions in it; None if it has none.

    Raises: ExpressionSyntax, with the offset in the whole text.
    """
    parts: list[str | Hole] = []
    done = 0
    while (start := text.find(OPEN, done)) >= 0:
        if start > done:
            parts.append(text[done:start])
        end = _end_of_hole(text, start + len(OPEN))
        parts.append(_hole(text, start + len(OPEN), end))
        done = end + len(CLOSE)
    if not parts:
        return None
    if done < len(text):
        parts.append(text[done:])
    return Template(text, tuple(parts))


def replace_holes(text: str, replace: Callable[[str], str]) -> str:
    """Return a text with each `${{ expression }}` replaced by what `replace` makes of its inside.

    Raises: ExpressionSyntax if one is not closed.
    """
    parts, done = [], 0
    while (start := text.find(OPEN, done)) >= 0:
        end = _end_of_hole(text, start + len(OPEN))
        parts += [text[done:start], replace(text[start + len(OPEN) : end])]
        done = end + len(CLOSE)
    return "".join([*parts, text[done:]])


#: Templates of other tools: Jinja and Actions, Logic Apps, shells, cmd and ERB.
_FOREIGN = re.compile(
    r"\{\{.{0,200}?\}\}|\$\[\[.{0,200}?\]\]|\$\{(?!\{)[^{}]{0,200}\}|\{%.{0,200}?%\}|<%.{0,200}?%>"
    r"|@\{[^{}]{0,200}\}|%[A-Z][A-Z0-9_]{1,100}%|\$\([A-Za-z_][\w.]{0,100}\)"
    r"|\$\[ ?[A-Za-z_].{0,200}?\]",
    re.DOTALL,
)


def find_foreign(text: str) -> str:
    """Return a part of a text that is another tool's template, "" if there is none."""
    found = _FOREIGN.search(_outside(text))
    return "" if found is None else found[0]


def _outside(text: str) -> str:
    """Return a text that compile_template accepts, without its expressions."""
    parts, done = [], 0
    while (start := text.find(OPEN, done)) >= 0:
        parts.append(text[done:start])
        done = _end_of_hole(text, start + len(OPEN)) + len(CLOSE)
    return " ".join([*parts, text[done:]])


_DOTTED = r"[a-z_]{1,40}(?:\.[A-Za-z_]\w{0,100}){1,5}"
#: A name with dots that is a whole text, or follows the opening of some tool's template.
_NAMED = re.compile(rf"(?:\A|(?:[{{<$]|\[\[|%\()\s{{0,4}})({_DOTTED})", re.ASCII)


def find_names(text: str) -> tuple[str, ...]:
    """Return the names with dots that a text has in the places of another tool's templates."""
    outside = _outside(text).strip()
    found = [match for match in _NAMED.finditer(outside) if match.start(1) or match[1] == outside]
    return tuple(match[1] for match in found)


def _hole(text: str, start: int, end: int) -> Hole:
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    try:
        return Hole(compile_expression(inner.strip()), start)
    except ExpressionSyntax as error:
        raise ExpressionSyntax(error.message, start + error.offset, error.hint) from error


def _end_of_hole(text: str, start: int) -> int:
    """Find the `}}` that closes, but not one within quotes or of a `{a: {b: c}}`."""
    quote, depth, at = "", 0, start
    # A longer expression is refused anyway. Without this limit a text of many `${{` takes long.
    while at < min(len(text), start + LONGEST_EXPRESSION):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'\"`":
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        elif text.startswith(CLOSE, at):
            return at
        at += 1
    # A part is not closed; the compiler names it, given the text up to the first `}}`.
    end = text.find(CLOSE, start)
    if end < 0:
        raise ExpressionSyntax(
            f"`{OPEN}` is not closed", start - len(OPEN), f"End it with `{CLOSE}`."
        )
    return end


def render_value(value: Any, data: Mapping[str, Any]) -> Any:
    """Return the value with each Template in it rendered.

    Raises: ExpressionFailed.
    """
    if isinstance(value, Template):
        return value.render(data)
    if isinstance(value, Mapping):
        return {key: render_value(item, data) for key, item in value.items()}
    if isinstance(value, list):
        return [render_value(item, data) for item in value]
    return value


def render(step: Step, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step's values, completed from the event's data, not yet validated.

    Raises: ExpressionFailed.
    """
    return {key: render_value(value, data) for key, value in step.params.items()}
