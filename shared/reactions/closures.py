"""Closures that evaluate an expression: as the library's interpreter does, several times faster.

The library walks the tree of an expression for each event. Here the commonest nodes become
functions once, when the file is loaded; the rest is left to the interpreter.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from jmespath import visitor

from shared.reactions.functions import Functions, Interpreter

#: A node of the library's syntax tree: `type`, `children`, `value`, and our `start`.
Node = dict[str, Any]
#: Returns the value of a node for the value that it is applied to.
type Closure = Callable[[Any], Any]

_FUNCTIONS: Final = Functions()
_INTERPRETER: Final[Any] = Interpreter(visitor.Options(custom_functions=_FUNCTIONS))


def is_truthy(value: Any) -> bool:
    """Say whether JMESPath treats a value as true, as it does 0."""
    return value is not None and value is not False and value not in ("", [], {})


def compile_tree(node: Node) -> Closure:
    """Return the closure of a node."""
    make = _MAKERS.get(node["type"])
    return partial(_INTERPRETER.visit, node) if make is None else make(node)


def _field(node: Node) -> Closure:
    name = node["value"]

    def run(value: Any) -> Any:
        # As the interpreter: nothing but a mapping has a `get`.
        return value.get(name) if isinstance(value, dict) else _INTERPRETER.visit(node, value)

    return run


def _path(node: Node) -> Closure:
    children = node["children"]
    runs = tuple(map(compile_tree, children))
    names = [child["value"] for child in children if child["type"] == "field"]
    if len(names) == len(children) == 2:
        return _two_fields(names[0], names[1], runs)
    if len(names) == len(children) == 3:
        return _three_fields(names[0], names[1], names[2], runs)
    return partial(_in_turn, runs)


def _two_fields(first: str, second: str, runs: tuple[Closure, ...]) -> Closure:
    def run(value: Any) -> Any:
        try:
            return value[first][second]
        except (KeyError, TypeError, IndexError):
            return _in_turn(runs, value)

    return run


def _three_fields(first: str, second: str, third: str, runs: tuple[Closure, ...]) -> Closure:
    def run(value: Any) -> Any:
        try:
            return value[first][second][third]
        except (KeyError, TypeError, IndexError):
            return _in_turn(runs, value)

    return run


def _in_turn(runs: tuple[Closure, ...], value: Any) -> Any:
    for run in runs:
        value = run(value)
    return value


def _literal(node: Node) -> Closure:
    value = node["value"]
    return lambda _: value


def _comparator(node: Node) -> Closure:
    operator = node["value"]
    if operator not in ("eq", "ne"):
        return partial(_INTERPRETER.visit, node)
    left, right = map(compile_tree, node["children"])
    other = node["children"][1]
    if other["type"] == "literal" and isinstance(other["value"], str):
        # The interpreter's own rules of equality are about 0, 1, true and false.
        text = other["value"]
        if operator == "eq":
            return lambda value: left(value) == text
        return lambda value: left(value) != text
    compare = Interpreter.COMPARATOR_FUNC[operator]
    return lambda value: compare(left(value), right(value))


def _and(node: Node) -> Closure:
    left, right = map(compile_tree, node["children"])

    def run(value: Any) -> Any:
        found = left(value)
        return right(value) if is_truthy(found) else found

    return run


def _or(node: Node) -> Closure:
    left, right = map(compile_tree, node["children"])

    def run(value: Any) -> Any:
        found = left(value)
        return found if is_truthy(found) else right(value)

    return run


def _call(node: Node) -> Closure:
    name, runs = node["value"], tuple(map(compile_tree, node["children"]))
    spec: Mapping[str, Any] = Functions.FUNCTION_TABLE.get(name, {})
    if len(runs) == 1 and list(spec.get("signature", ())) == [{"types": []}]:
        # A function of one argument of any kind has nothing to check.
        function, (only,) = spec["function"], runs
        return lambda value: function(_FUNCTIONS, only(value))
    return lambda value: _FUNCTIONS.call_function(name, [run(value) for run in runs])


_MAKERS: Final[Mapping[str, Callable[[Node], Closure]]] = {
    "field": _field,
    "subexpression": _path,
    "literal": _literal,
    "comparator": _comparator,
    "and_expression": _and,
    "or_expression": _or,
    "function_expression": _call,
}
