"""The values of an expression's parts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events.model import EventType
from shared.reactions.evaluation import Evaluation, evaluate_text, find_text_faults
from shared.reactions.expressions import ExpressionSyntax, compile_expression

DATA: dict[str, Any] = {
    "model": {"name": "churn", "version": "8", "tags": {"deploy": "yes", "cost-centre": "7"}}
}


def parts(found: Evaluation) -> list[tuple[str, Any]]:
    """Return the texts of all parts with their values, the outer ones first."""
    return [pair for part in found.parts for pair in [(part.text, part.value), *parts(part)]]


@pytest.mark.parametrize(
    ("text", "value", "inner"),
    [
        ("model.name", "churn", []),
        ("'text'", "text", []),
        ("model.name == 'churn'", True, [("model.name", "churn")]),
        (
            "is_true(model.tags.deploy) && model.name == 'fraud'",
            False,
            [
                ("is_true(model.tags.deploy)", True),
                ("model.tags.deploy", "yes"),
                ("model.name == 'fraud'", False),
                ("model.name", "churn"),
            ],
        ),
        (
            "(model.tags.stage || 'test') == 'test'",
            True,
            [("(model.tags.stage || 'test')", "test"), ("model.tags.stage", None)],
        ),
        ("!model.tags.stage", True, [("model.tags.stage", None)]),
        ("!model.name == 'churn'", False, [("!model.name", False), ("model.name", "churn")]),
        ('model.tags."cost-centre"', "7", []),
        ("model.tags | keys(@) | length(@)", 2, [("model.tags", DATA["model"]["tags"])]),
        (
            "contains(['a, b', model.name], 'churn')",
            True,
            [("['a, b', model.name]", ["a, b", "churn"])],
        ),
        ("keys(model.tags)[0]", "deploy", []),
        ("sort_by([model], &name)[0].name", "churn", []),
        ("(lower(model.name)) != (lower('x'))", True, [
            ("(lower(model.name))", "churn"),
            ("model.name", "churn"),
            ("(lower('x'))", "x"),
        ]),
        ("it is ${{ model.name }} ${{ model.version }}", "it is churn 8", [
            ("model.name", "churn"),
            ("model.version", "8"),
        ]),
        ("${{ model.tags }}", DATA["model"]["tags"], [("model.tags", DATA["model"]["tags"])]),
    ],
)  # fmt: skip
def test_each_part_has_its_value(text: str, value: Any, inner: list[tuple[str, Any]]) -> None:
    found = evaluate_text(text, DATA)
    assert (found.value, found.error) == (value, "")
    assert parts(found) == inner


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("length(to_number(model.version)) == `1`", "length() can't take"),
        ("of ${{ model.tags.team }}", "gave nothing, which can't be part of a text. Give it a"),
    ],
)
def test_a_value_that_can_not_be_made_says_why(text: str, error: str) -> None:
    assert error in evaluate_text(text, DATA).error


def test_the_place_of_a_fault_is_that_in_the_whole_text() -> None:
    text = "of ${{ model.nam }} and ${{ model.name = 'x' }}"
    with pytest.raises(ExpressionSyntax) as caught:
        evaluate_text(text, DATA)
    assert text[caught.value.offset] == "="
    (fault,) = find_text_faults(text.replace(" = 'x'", ""), EventType.MODEL_REGISTERED)
    assert fault.offset == text.index("nam }}")


OPERANDS = st.sampled_from(
    [
        "model.name",
        "'a, b && c'",
        "`[1, 2]`",
        'model.tags."cost-centre"',
        "lower(model.name)",
        "!model",
    ]
)
TEXTS = st.recursive(
    OPERANDS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!=", " < "]), inner).map(
            lambda parts: f"({''.join(parts)})"
        ),
        inner.map(lambda text: f"is_true({text})"),
        st.tuples(inner, inner).map(lambda two: f"join({two[0]}, [{two[1]}])"),
        inner.map(lambda text: f"({text})[?@ == 'x']"),
    ),
)


@given(text=TEXTS)
def test_each_part_is_written_where_it_says_and_has_the_value_that_it_has_alone(text: str) -> None:
    def check(found: Evaluation) -> None:
        assert text[found.offset :].startswith(found.text)
        if not found.error:
            assert compile_expression(found.text).evaluate(DATA) == found.value
        for part in found.parts:
            check(part)

    check(evaluate_text(text, DATA))
