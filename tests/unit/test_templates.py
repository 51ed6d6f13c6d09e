"""Values of actions that are made from an event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from shared.base.errors import ExpressionFailed, ParamsInvalid
from shared.reactions.expressions import ExpressionSyntax
from shared.reactions.load import load_reactions
from shared.reactions.model import Params, Step
from shared.reactions.step_values import prepare
from shared.reactions.templates import compile_template, render
from shared.schema.values import ChannelName

DATA = {
    "model": {"name": "churn", "version": "7", "tags": {"count": "3", "on": "true"}},
    "n": 3,
    "f": 0.5,
    "t": True,
    "list": [1, "a"],
    "none": None,
}


class Probe(Params):
    """Sample nested values."""

    tries: int = 1
    channel: ChannelName = "team"


class Deploy(Params):
    """Sample values of an action."""

    endpoint: str
    count: int = 1
    hold: bool = False
    tags: dict[str, str] = Field(default_factory=dict)
    probe: Probe = Probe()


def step(values: str) -> Step:
    """Return the step that the loader makes of the values."""
    text = (
        "version: 1\nworkspaces: []\nchannels: [team]\nreactions:\n"
        f"- {{name: a, on: ModelRegistered, do: [deploy: {values}]}}\n"
    )
    return load_reactions(text, actions={"deploy": Deploy}, settings={}).reactions[0].do[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${{ n }}", 3),
        ("${{n}}", 3),
        ("${{ t }}", True),
        ("${{ list }}", [1, "a"]),
        ("${{ none }}", None),
        ("v${{ n }}", "v3"),
        ("${{ n }}${{ n }}", "33"),
        ("${{ model.name }} ${{ model.version }} registered", "churn 7 registered"),
        ("${{ t }}!", "true!"),
        ("${{ f }}!", "0.5!"),
        ("${{ list }}!", '[1, "a"]!'),
        ("a ${{ 'x}}y' }} b", "a x}}y b"),
        ("a ${{ {a: {b: n}}.a.b }} b", "a 3 b"),
        ("a ${{ {a: {b: n}}}} b", 'a {"a": {"b": 3}} b'),
        (r"a ${{ 'it\'s }}' }} b", "a it's }} b"),
        ("${{ none || 'nobody' }}, hello", "nobody, hello"),
    ],
)
def test_a_template_is_completed_from_the_event(text: str, value: Any) -> None:
    template = compile_template(text)
    assert template is not None
    assert template.render(DATA) == value


@pytest.mark.parametrize("text", ["", "plain", "$ {{ a }}", "{{ a }}", "}}", "$${ a }"])
def test_text_without_expressions_is_no_template(text: str) -> None:
    assert compile_template(text) is None


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a ${{ n", "`${{` is not closed", 2),
        ("a ${{ }} b", "the expression is empty", 6),
        ("a ${{ n + 1 }}", "unexpected `+`", 8),
        ("a ${{ n }} ${{ n. }}", "the expression ends too early", 17),
        ("a ${{ 'n }}", "a quote is not closed", 6),
    ],
)
def test_a_template_that_can_not_be_read_says_where(text: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionSyntax) as caught:
        compile_template(text)
    assert message in caught.value.message
    assert caught.value.offset == offset


def test_a_missing_value_never_becomes_text() -> None:
    template = compile_template("to ${{ model.tags.owner }}")
    assert template is not None
    with pytest.raises(ExpressionFailed, match=r"`model\.tags\.owner` gave nothing") as caught:
        template.render(DATA)
    assert caught.value.hint == "Give it a default: model.tags.owner || 'none'."


def test_a_step_is_rendered_wherever_it_holds_expressions() -> None:
    values = (
        '{endpoint: "${{ model.name }}", count: "${{ model.tags.count }}",'
        ' tags: {v: "v${{ model.version }}"}, probe: {tries: "${{ to_number(model.version) }}"}}'
    )
    assert render(step(values), DATA) == {
        "endpoint": "churn",
        "count": "3",
        "tags": {"v": "v7"},
        "probe": {"tries": 7},
    }
    prepared = prepare(step(values), DATA, Deploy)
    assert (prepared.count, prepared.probe.tries, prepared.hold) == (3, 7, False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            '{endpoint: "${{ model.tags.absent }}"}',
            "`endpoint` should be text, found nothing (from ${{ model.tags.absent }})",
        ),
        (
            '{endpoint: a, count: "${{ model.name }}", hold: "${{ model.name }}"}',
            "`count` should be a whole number, found 'churn' (from ${{ model.name }}); "
            "`hold` should be true or false, found 'churn' (from ${{ model.name }})",
        ),
        (
            '{endpoint: a, probe: "${{ model.name }}"}',
            "`probe` should be a mapping, found 'churn' (from ${{ model.name }})",
        ),
    ],
)
def test_values_that_do_not_fit_name_their_fields_and_expressions(
    values: str, message: str
) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        prepare(step(values), DATA, Deploy)
    assert caught.value.message == message


_PIECES = st.lists(st.sampled_from(["${{", "}}", "'", "{", "}", "a", " ", "\\"])).map("".join)


@given(st.text() | _PIECES)
def test_any_text_is_a_template_or_none_or_says_where_it_is_wrong(text: str) -> None:
    template, offset = None, 0
    try:
        template = compile_template(text)
    except ExpressionSyntax as error:
        offset = error.offset
    else:
        assert (template is None) == ("${{" not in text)
    assert 0 <= offset <= len(text)
    assert template is None or template.text == text
