"""The closures of expressions give what the library's interpreter gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath import visitor

from shared.reactions.closures import compile_tree
from shared.reactions.expressions import compile_expression
from shared.reactions.functions import Functions, Interpreter

INTERPRETER = Interpreter(visitor.Options(custom_functions=Functions()))

VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 0.0, 1.5, "", "x", "1", "yes"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)
PATHS = st.sampled_from(["a", "a.b", "a.b.c", "a.b.c.a", "b.c", '"a"."b"', "a[0].b", "a.*", "@"])
LITERALS = st.sampled_from(["'x'", "''", "`0`", "`1`", "`true`", "`null`", "`[]`", "`{}`"])
TEXTS = st.recursive(
    PATHS | LITERALS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!=", "<", "<=", "|"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map("!({})".format),
        st.tuples(
            st.sampled_from(["is_true", "lower", "length", "to_number", "keys", "not_null", "abs"]),
            inner,
        ).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(inner, inner).map(lambda two: f"contains({two[0]}, {two[1]})"),
        inner.map("sort_by({}, &a)".format),
        inner.map("({})[?a == 'x'].b".format),
        st.tuples(inner, inner).map(lambda two: f"[{two[0]}, {two[1]}]"),
    ),
    max_leaves=6,
)


def outcome(work: Any) -> tuple[Any, ...]:
    """Return the value with its type, all the way down, or the kind of the error."""
    try:
        return ("value", repr(work()))
    except Exception as error:  # noqa: BLE001 - the errors are compared as well
        return ("error", type(error).__name__)


@given(text=TEXTS, value=VALUES)
def test_a_closure_gives_what_the_interpreter_gives(text: str, value: Any) -> None:
    tree = compile_expression(text).tree
    by_interpreter = outcome(lambda: INTERPRETER.visit(tree, value))
    assert outcome(lambda: compile_tree(tree)(value)) == by_interpreter


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b == `1`", {"a": {"b": True}}),
        ("a.b == `true`", {"a": {"b": 1}}),
        ("a.b", {"a": "text"}),
        ("a.b.c", {"a": {"b": None}}),
        ("is_true(a)", {"a": "YES "}),
        ("is_true()", {}),
        ("a.b", None),
    ],
)
def test_where_python_and_jmespath_differ_jmespath_holds(text: str, value: Any) -> None:
    tree = compile_expression(text).tree
    by_interpreter = outcome(lambda: INTERPRETER.visit(tree, value))
    assert outcome(lambda: compile_tree(tree)(value)) == by_interpreter
