"""`vars:` of a reactions file: values under a name, which reactions use in their expressions.

A variable's value is put in the place of its name before reactions are read. It is checked there as
if it were written there, and no event can change it.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from jmespath import exceptions, lexer

from shared.reactions.expressions import ExpressionSyntax
from shared.reactions.templates import OPEN, replace_holes
from shared.schema.document import Path
from shared.schema.report import Report
from shared.schema.wording import found, suggest

#: The name of a variable.
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLAIN: Final = re.compile(r"[^'\\]*")
#: A text that is a variable and nothing else.
_BARE: Final = re.compile(r"vars\.([A-Za-z_][A-Za-z0-9_]*)")

#: The value of a variable: text, a number, true or false, or a list of these.
type VarValue = str | int | float | bool | list[str | int | float | bool]


class Vars:
    """The variables of a file, and which of them are used."""

    def __init__(
        self, values: Mapping[str, VarValue], faulty: Collection[str], report: Report
    ) -> None:
        """Take the variables, and the names of those whose values have mistakes."""
        self._values = values
        self._faulty = faulty
        self._report = report
        self._used: set[str] = set()

    def expand(self, data: Any, path: Path) -> Any:
        """Return the data at a path with the values of variables in the place of their names."""
        if isinstance(data, dict):
            return {key: self._expand_at((*path, key), item) for key, item in data.items()}
        if isinstance(data, list):
            return [self._expand_at((*path, index), item) for index, item in enumerate(data)]
        return data

    def _expand_at(self, path: Path, value: Any) -> Any:
        if not isinstance(value, str) or "vars" not in value:
            return self.expand(value, path)
        is_condition = path[0] == "reactions" and len(path) == 3 and path[2] == "when"
        expanded = self._in_expression(value, path) if is_condition else self._in_text(value, path)
        if expanded != value:
            self._report.rewritten.add(path)
        return expanded

    def _in_text(self, text: str, path: Path) -> Any:
        """Put variables into the expressions of a text."""
        if OPEN not in text:
            return text
        bare = re.fullmatch(rf"\$\{{\{{\s*{_BARE.pattern}\s*\}}\}}", text)
        if bare is not None:
            return self._value(bare[1], path, text)
        try:
            return replace_holes(text, lambda expression: self._in_hole(expression, path))
        except ExpressionSyntax:
            return text  # the reader of the reaction reports it

    def _in_hole(self, expression: str, path: Path) -> str:
        """Return what stands in the place of one `${{ expression }}`."""
        bare = _BARE.fullmatch(expression.strip())
        value = None if bare is None else self._value(bare[1], path, None)
        if value is None or isinstance(value, list):
            return f"{OPEN}{self._in_expression(expression, path)}}}}}"
        return value if isinstance(value, str) else json.dumps(value)

    def _in_expression(self, text: str, path: Path) -> str:
        try:
            tokens = [*lexer.Lexer().tokenize(text)]
        except exceptions.JMESPathError:
            return text  # the reader of the reaction reports it
        parts, done = [], 0
        for before, word, dot, name in zip(
            [None, *tokens], tokens, tokens[1:], tokens[2:], strict=False
        ):
            is_name = word["type"] == "unquoted_identifier" and word["value"] == "vars"
            if not is_name or dot["type"] != "dot" or (before and before["type"] == "dot"):
                continue
            value = self._value(str(name["value"]), path, None)
            if value is not None:
                parts += [text[done : word["start"]], _literal(value)]
                done = name["end"]
        return "".join([*parts, text[done:]])

    def _value(self, name: str, path: Path, default: Any) -> Any:
        if name in self._values:
            self._used.add(name)
            return self._values[name]
        if name in self._faulty:
            self._report.refused.add(path)
            return default
        hint = suggest(name, self._values) if self._values else "Give it a value under `vars:`."
        self._report.refuse(path, f"there is no variable `{name}`", hint)
        return default

    def warn_of_unused(self) -> None:
        """Warn of variables that no reaction uses."""
        if self._report.has_errors:
            return
        for name in self._values.keys() - self._used:
            hint = f"Remove it, or use it in a reaction: ${{{{ vars.{name} }}}}."
            self._report.warn(("vars", name), f"no reaction uses variable `{name}`", hint, key=True)


def read_vars(data: Mapping[str, Any], report: Report) -> Vars:
    """Return the variables; every mistake goes to the report."""
    values: dict[str, VarValue] = {}
    for name, value in data.items():
        path: Path = ("vars", name)
        items = value if isinstance(value, list) else [value]
        if NAME.fullmatch(name) is None:
            hint = "Lower-case letters, digits and _, a letter first."
            report.error(path, f"a variable can't be called {found(name)}", hint, key=True)
        elif not items or not all(isinstance(item, str | int | float) for item in items):
            message = f"`{name}` should be text, a number, true or false, or a list of these"
            report.error(path, f"{message}, found {found(value)}")
        elif any(isinstance(item, str) and OPEN in item for item in items):
            message = f"`{name}` holds an expression, and a variable is the same for every event"
            report.error(path, message, "Write the expression in the reaction.")
        else:
            values[name] = value
    return Vars(values, data.keys() - values.keys(), report)


def _literal(value: VarValue) -> str:
    """Write a value as an expression does."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return f"'{value}'"
    return f"`{json.dumps(value, ensure_ascii=False).replace('`', chr(92) + '`')}`"
