"""Expressions: what they give, how they fail, and what is wrong with them before any event."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.base.errors import ExpressionFailed
from shared.events.model import (
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Event,
    EventType,
    Metric,
    Model,
    ModelDeployed,
    ModelRegistered,
    Run,
    RunCompleted,
    RunStatusChanged,
    Service,
    Workspace,
    as_data,
)
from shared.reactions.condition_faults import find_condition_faults
from shared.reactions.expression_faults import find_expression_faults
from shared.reactions.expressions import ExpressionSyntax, compile_expression
from shared.reactions.functions import FUNCTIONS
from shared.reactions.shapes import FreeMap, Many, RecordShape, shape_of

_COMMON: dict[str, Any] = {
    "id": "e1",
    "time": datetime(2026, 1, 2, tzinfo=UTC),
    "workspace": Workspace(subscription="s", resource_group="g", name="w"),
}
MODEL = Model(name="Churn", version="7", tags={"deploy": "True", "stage": "prod", "my-tag": "x"})
EVENTS: tuple[Event, ...] = (
    ModelRegistered(**_COMMON, model=MODEL),
    ModelDeployed(**_COMMON, service=Service(name="s", compute_type="ACI", models=("a:1", "b:2"))),
    RunCompleted(**_COMMON, run=Run(id="r", root_id="r")),
    RunStatusChanged(**_COMMON, run=Run(id="r", root_id="root", is_root=False, status="Failed")),
    DriftDetected(
        **_COMMON,
        drift=Drift(
            monitor="mon",
            signal="data_drift",
            state=DriftState.BREACH,
            source=DriftSource.MODEL_MONITOR,
            window="root",
            metrics=(Metric(name="psi", value=0.4, threshold=0.2, feature="age", effect=1.0),),
            features=("age",),
        ),
    ),
)
DATA = as_data(EVENTS[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("model.name", "Churn"),
        ("lower(model.name)", "churn"),
        ("lower(model.tags.absent)", None),
        ('model.tags."my-tag"', "x"),
        ("workspace.id", EVENTS[0].workspace.id),
        ("type", "ModelRegistered"),
        ("matches(model.name, 'ch*')", True),
        ("matches(model.name, 'CH?RN')", True),
        ("matches(model.name, 'ch')", False),
        ("matches(model.tags.absent, '*')", False),
        ("model.tags.absent || 'none'", "none"),
        ("length(model.tags) > `2` && model.tags.stage == 'prod'", True),
    ],
)
def test_an_expression_gives_what_the_event_holds(text: str, value: Any) -> None:
    assert compile_expression(text).evaluate(DATA) == value


@pytest.mark.parametrize("value", [True, "true", "True", "TRUE", " yes ", "Y", "on", "1", 1])
def test_every_spelling_of_yes_is_true(value: Any) -> None:
    assert compile_expression("is_true(tag)").evaluate({"tag": value}) is True


@pytest.mark.parametrize("value", [None, False, "false", "no", "", "0", 0, 2, "maybe", [], {}, [1]])
def test_everything_else_is_not_true(value: Any) -> None:
    assert compile_expression("is_true(tag)").evaluate({"tag": value}) is False


def test_a_condition_that_gives_null_does_not_hold() -> None:
    assert compile_expression("model.tags.absent").holds(DATA) is False


#: Conditions over a model that has none of these tags, and what each comes to.
OF_NOTHING = [
    "starts_with(model.tags.absent, 'prod')",
    "ends_with(model.tags.absent, 'prod')",
    "contains(model.tags.absent, 'y')",
    "contains(model.name, model.tags.absent)",
    "length(model.tags.absent) > `0`",
    "length(model.tags.absent)",
    "sort(model.tags.absent)",
    "sort_by(model.tags.absent, &x)",
    "max_by(model.tags.absent, &x)",
    "min_by(model.tags.absent, &x)",
    "max(model.tags.absent)",
    "sum(model.tags.absent) > `1`",
    "avg(model.tags.absent) > `1`",
    "abs(to_number(model.tags.absent)) > `1`",
    "ceil(to_number(model.tags.absent)) == `1`",
    "floor(to_number(model.tags.stage)) == `1`",
    "join(',', model.tags.absent) == 'x'",
    "join(model.tags.absent, keys(model.tags)) == 'x'",
    "keys(model.tags.absent)",
    "values(model.tags.absent)",
    "map(&x, model.tags.absent)",
    "merge(model.tags.absent, model.tags)",
    "reverse(model.tags.absent)",
    "matches(model.tags.absent, '*')",
    "matches(model.name, model.tags.absent)",
    "is_true(model.tags.absent)",
    "to_number(model.tags.absent) > `1`",
    "model.tags.absent > `1`",
    "model.tags.absent.deeper.still == 'x'",
    "model.tags.absent[0] == 'x'",
    "model.tags.absent && model.name == 'Churn'",
    "model.tags.stage > `1`",
    "not_null(model.tags.absent)",
    "lower(model.tags.absent) == 'x'",
    "contains(model.name, model.tags.absent)",
    "join(',', [model.tags.absent]) == 'x'",
    "max([model.tags.absent]) == 'x'",
    "sum([model.tags.absent]) == `1`",
    "sort([model.tags.absent]) == ['x']",
    "max_by([model], &tags.absent)",
    "min_by([model], &tags.absent)",
    "sort_by([model], &tags.absent)",
    "model.name > `3`",
    "model.tags.stage < `3`",
    "`true` > `false`",
    "to_number(model.tags.absent) < to_number(model.tags.stage)",
]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("max_by(metrics, &effect).name", "b"),
        ("min_by(metrics, &effect).name", "a"),
        ("sort_by(metrics, &effect)[*].name", ["a", "b"]),
        ("max([tags.one, tags.none, tags.two])", "2"),
        ("join('-', [tags.one, tags.none, tags.two])", "1-2"),
        ("sort([tags.two, tags.none, tags.one])", ["1", "2"]),
        ("sum([to_number(tags.one), to_number(tags.none)])", 1),
        ("merge(tags, none)", None),
        ("time > '2026-01-01'", True),
    ],
)
def test_what_is_missing_in_a_list_is_left_out(text: str, value: Any) -> None:
    metrics = [
        {"name": "a", "effect": 0.1},
        {"name": "c", "effect": None},
        {"name": "b", "effect": 0.4},
    ]
    tags = {"one": "1", "two": "2"}
    data = {"metrics": metrics, "tags": tags, "none": None, "time": "2026-02-03"}
    assert compile_expression(text).evaluate(data) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("3", 3), (" 4.5 ", 4.5), ("-2", -2), ("1e3", 1000.0), (".5", 0.5), ("+7", 7)),
        *(("inf", None), ("-Infinity", None), ("nan", None), ("1_000", None), ("", None)),
        *(("0x10", None), ("\u0663", None), ("1e999", None), ("9" * 5000, None), ("1,5", None)),
    ],
)
def test_a_text_is_a_number_where_it_is_written_as_one(text: str, number: float | None) -> None:
    value = compile_expression("to_number(x)").evaluate({"x": text})
    assert (value, type(value)) == (number, type(number))


@pytest.mark.parametrize("text", OF_NOTHING)
def test_a_condition_on_a_tag_that_is_not_there_does_not_hold(text: str) -> None:
    condition = compile_expression(text)
    assert condition.holds(DATA) is False
    assert condition.explain(DATA)


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        *((None, False), (False, False), ("", False), ([], False), ({}, False)),
        *((True, True), (0, True), (0.0, True), ("x", True), ([None], True), ({"a": None}, True)),
    ],
)
def test_a_condition_holds_as_jmespath_takes_its_value(value: Any, holds: bool) -> None:
    assert compile_expression("x").holds({"x": value}) is holds
    negated = compile_expression("!x").holds({"x": value})
    assert negated is not holds


@pytest.mark.parametrize(
    ("text", "value"),
    [("alert.endpoint && starts_with(alert.endpoint, 'a')", ""), ("drift.features && `true`", [])],
)
def test_what_is_empty_before_an_and_is_false(text: str, value: Any) -> None:
    data = {"alert": {"endpoint": value}, "drift": {"features": value}}
    assert compile_expression(text).holds(data) is False


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("abs(model.name)", "abs() can't take 'Churn' (text)"),
        ("length(`true`)", "length() can't take true (a boolean)"),
        ("values(model.tags)[::0]", "slice step cannot be zero"),
        ("ceil(`1e999`)", "infinity"),
    ],
)
def test_what_the_library_trips_over_is_an_expression_that_failed(text: str, part: str) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        compile_expression(text).evaluate(DATA)
    assert caught.value.message.startswith(f"`{text}`: ")
    assert part in caught.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("is_true(model.tags.absent)", "`is_true(model.tags.absent)` is false"),
        ("model.tags.absent", "`model.tags.absent` is null"),
        ("model.name == 'Churn' && model.version == '8'", "`model.version == '8'` is false"),
        (
            "(model.name == 'x' && type == 'y') && id == 'e1'",
            "`(model.name == 'x' && type == 'y')`",
        ),
        ("id == 'x' && id == 'e1' || id == 'z'", "`id == 'x' && id == 'e1' || id == 'z'` is false"),
        ("model.name == 'a && b' && id == 'e1'", "`model.name == 'a && b'` is false"),
    ],
)
def test_a_condition_says_which_part_does_not_hold(text: str, why: str) -> None:
    assert compile_expression(text).explain(DATA).startswith(why)


@pytest.mark.parametrize(
    ("text", "message", "offset", "hint"),
    [
        ("", "the expression is empty", 0, ""),
        ("  ", "the expression is empty", 0, ""),
        ("model.", "the expression ends too early", 6, ""),
        ("a ==", "the expression ends too early", 4, ""),
        ("a = 'b'", "unexpected `=`", 2, "Write `==`"),
        ("a and b", "unexpected `and`", 2, "Write `&&`"),
        ("a or b", "unexpected `or`", 2, "Write `||`"),
        ("a > 0.3", "unexpected `0`", 4, "Numbers go in backticks"),
        ("tags.deploy-to", "unexpected `-`", 11, "double quotes"),
        ("a == 'b", "a quote is not closed", 5, "'b"),
        ("a == `b`", "the text between backticks is not JSON", 5, "single quotes"),
        ("f(a", "the expression ends too early", 3, ""),
        ("a b", "unexpected `b`", 2, ""),
        ("(" * 900 + "a" + ")" * 900, "the expression is nested too deeply", 0, ""),
        ("||".join("a" * 200), "the expression is nested too deeply", 0, ""),
        ("a" * 2_001, "the expression has 2001 characters, at most 2000 are allowed", 0, ""),
    ],
)
def test_a_text_that_is_no_expression_says_where_and_why(
    text: str, message: str, offset: int, hint: str
) -> None:
    with pytest.raises(ExpressionSyntax) as caught:
        compile_expression(text)
    assert (caught.value.message, caught.value.offset) == (message, offset)
    assert hint in caught.value.hint


_REGISTERED = EventType.MODEL_REGISTERED
_DEPLOYED = EventType.MODEL_DEPLOYED
_DRIFTED = EventType.DRIFT_DETECTED
_CHANGED = EventType.RUN_STATUS_CHANGED
_COMPLETED = EventType.RUN_COMPLETED


@pytest.mark.parametrize(
    ("on", "text", "message", "hint", "offset"),
    [
        (_REGISTERED, "modle.name", "a ModelRegistered event has no `modle`", "`model`", 0),
        (_REGISTERED, "id == model.verson", "`model` has no `verson`", "`version`", 12),
        (_REGISTERED, "model.tgas.a", "`model` has no `tgas`", "`tags`", 6),
        (_REGISTERED, "run.id", "a ModelRegistered event has no `run`", "`model`, `time`", 0),
        (_REGISTERED, "workspace.nam", "`workspace` has no `nam`", "`name`", 10),
        (_REGISTERED, "model.name.first", "`model.name` is text and has no `first`", "ends", 11),
        (_DEPLOYED, "service.models.a", "`service.models` is a list", "service.models[0]", 15),
        (_DEPLOYED, "service.models[0].a", "`service.models[]` is text", "ends", 18),
        (_REGISTERED, 'model.name == "prod"', "has no `prod`", "single quotes: 'prod'", 14),
        (_REGISTERED, "is_true(model.tags.a) == true", "has no `true`", "`true`", 25),
        (_REGISTERED, "lowr(model.name)", "there is no function `lowr()`", "`lower`", 0),
        (_REGISTERED, "id == lower()", "lower() takes 1 argument, found 0", "", 6),
        (_REGISTERED, "matches(id)", "matches() takes 2 arguments, found 1", "", 0),
        (_REGISTERED, "not_null()", "not_null() takes at least 1 argument, found 0", "", 0),
        (_DEPLOYED, "service.models[?nam == 'x']", "`service.models[]` is text", "ends", 16),
        (_REGISTERED, "{a: modle}", "has no `modle`", "`model`", 4),
        (_REGISTERED, "[id, modle]", "has no `modle`", "`model`", 5),
        (_REGISTERED, "!modle", "has no `modle`", "`model`", 1),
        (_REGISTERED, "id == 'a' || modle == 'b'", "has no `modle`", "`model`", 13),
        (_REGISTERED, "model | nam", "`model` has no `nam`", "`name`", 8),
        (_REGISTERED, "contains(model.nam, 'x')", "`model` has no `nam`", "`name`", 15),
        (_DRIFTED, "drift.metrics[0].value > '0.3'", "is compared with text", "backticks", 0),
        (_DRIFTED, "drift.coefficient > `1`", "`drift` has no `coefficient`", "`monitor`", 6),
        (_DRIFTED, "drift.metrics.value", "`drift.metrics` is a list", "drift.metrics[*]", 14),
        (_DRIFTED, "drift.metrics[*].vlue", "`drift.metrics[]` has no `vlue`", "`value`", 17),
        (_DRIFTED, "drift.state == 'breached'", "is never 'breached'", "`breach`", 0),
        (_DRIFTED, "'Broken' != drift.state", "is never 'Broken'", "`broken`", 12),
        (_DRIFTED, "drift.source == 'v2'", "is never 'v2'", "`model_monitor`", 0),
        (_CHANGED, "run.is_root == 'true'", "is compared with text", "`!run.is_root`", 0),
        (_CHANGED, "run.status == 'failed'", "`run.status` is never 'failed'", "`Failed`", 0),
        (_CHANGED, "run.status == 'Over'", "is never 'Over'", "Valid here: `Canc", 0),
        (_CHANGED, "run.is_root.x", "`run.is_root` is true or false", "ends", 12),
        (_REGISTERED, "model.name[0] == 'c'", "`model.name` is text, not a list", "", None),
        (_REGISTERED, "model.tags[0] == 'c'", "`model.tags` is a mapping", "values(m", None),
        (_REGISTERED, "model.tags[?@ == 'c']", "`model.tags` is a mapping", "values(m", 0),
        (_REGISTERED, "model[*].name", "`model` is a mapping, not a list", "after a dot", 0),
        (_REGISTERED, "[id, time][::0]", "steps of 0", "Leave", None),
        (_REGISTERED, "&model.name", "`&` can't stand here", "sort_by()", 1),
        (_REGISTERED, "length(&id) > `1`", "`&` can't stand here", "sort_by()", 8),
        (_REGISTERED, "type == 'ModelDeployed'", "`type` is never 'ModelDeployed'", "", 0),
        (_COMPLETED, "run.status == 'Failed'", "is never 'Failed'", "`Completed`", 0),
        (_REGISTERED, "model.version > `3`", "is compared with a number", "to_number", 0),
        (_REGISTERED, "model.version == `3`", "is compared with a number", "single quotes", 0),
        (_REGISTERED, "model.tags.a == `true`", "compared with true or false", "is_true", 0),
    ],
)
def test_a_part_that_can_not_be_right_is_found_before_any_event(
    on: EventType, text: str, message: str, hint: str, offset: int
) -> None:
    (fault,) = find_expression_faults(compile_expression(text), on)
    assert message in fault.message
    assert hint in fault.hint
    assert fault.offset == offset


@pytest.mark.parametrize(
    ("on", "text"),
    [
        (_REGISTERED, 'model.tags."anything.below"'),
        (_REGISTERED, "model.properties.*"),
        (_REGISTERED, "model.*.x"),
        (_REGISTERED, "*.name"),
        (_REGISTERED, "@.model.name"),
        (_REGISTERED, "model | name"),
        (_REGISTERED, "model.{a: name, b: tags.x}.a.b.c"),
        (_REGISTERED, "[model.name, 'x'][0].y"),
        (_REGISTERED, "keys(model.tags)[?@ == 'x'] | [0]"),
        (_REGISTERED, "to_number(model.tags.share) > `3`"),
        (_REGISTERED, "model.version == '3'"),
        (_REGISTERED, "model.tags.a == `null`"),
        (_REGISTERED, "(model.tags || model.properties).x"),
        (_REGISTERED, "not_null(model.tags.a, model.tags.b, 'c')"),
        (_DEPLOYED, "service.models[*]"),
        (_DEPLOYED, "service.models[0]"),
        (_DEPLOYED, "service.models[-1:]"),
        (_DEPLOYED, "service.models[]"),
        (_DEPLOYED, "service.models[?starts_with(@, 'churn')] | [0]"),
        (_DEPLOYED, "sort_by(service.models, &foo)"),
        (_DEPLOYED, "map(&name, service.models)"),
        (_DRIFTED, "drift.metrics[0].value > `0.3` && drift.window_start != `null`"),
        (_DRIFTED, "max(drift.metrics[*].value) > `0.3`"),
        (_DRIFTED, "contains(drift.features, 'age')"),
        (_DRIFTED, "drift.metrics[?breached && threshold < `0.5`] | [0]"),
        (_DRIFTED, "drift.state == 'breach' || drift.state == drift.signal"),
        (_CHANGED, "run.is_root == `true`"),
        (_COMPLETED, "run.status == 'Completed'"),
        (_REGISTERED, "time > '2026-01-01'"),
        (_DRIFTED, "drift.window_start < drift.window_end"),
        (_DRIFTED, "sort_by(drift.metrics, &value)[-1].name == 'psi'"),
        (_CHANGED, "run.status == 'Failed' || run.status == ''"),
    ],
)
def test_what_can_be_right_is_not_blamed(on: EventType, text: str) -> None:
    assert find_expression_faults(compile_expression(text), on) == ()


@pytest.mark.parametrize(
    ("on", "text", "message"),
    [
        (_REGISTERED, "sort(model.tags) == `[]`", "sort() can't take `model.tags`, which is a map"),
        (_REGISTERED, "length(`1`) > `0`", "length() can't take a number"),
        (
            _REGISTERED,
            "starts_with(model, 'x')",
            "starts_with() can't take `model`, which is a map",
        ),
        (_REGISTERED, "abs(model.name) > `1`", "abs() can't take `model.name`, which is text"),
        (_REGISTERED, "max_by(model.tags, &x) == 'x'", "max_by() can't take `model.tags`"),
        (_CHANGED, "lower(run.is_root) == 'true'", "lower() can't take `run.is_root`"),
        (_DRIFTED, "join(',', drift.state) == 'x'", "join() can't take `drift.state`"),
    ],
)
def test_an_argument_that_a_function_can_never_take_is_found(
    on: EventType, text: str, message: str
) -> None:
    (fault,) = find_expression_faults(compile_expression(text), on)
    assert fault.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "data", "value"),
    [
        ("!run.is_root", {"run": {"is_root": False}}, True),
        ("!run.is_root", {"run": {"is_root": True}}, False),
        ("!model.tags.skip", {"model": {"tags": {}}}, True),
        ("!model.tags.skip", {"model": {"tags": {"skip": "1"}}}, False),
        ("!!model.tags.skip", {"model": {"tags": {"skip": "1"}}}, True),
        ('!model.tags."a.b"', {"model": {"tags": {"a.b": "1"}}}, False),
        ("!alert.targets[0]", {"alert": {"targets": []}}, True),
        ("!drift.metrics[?breached]", {"drift": {"metrics": [{"breached": True}]}}, False),
        ("!drift.metrics[*].breached", {"drift": {"metrics": []}}, True),
        ("!run.is_root && run.id == 'a'", {"run": {"is_root": False, "id": "a"}}, True),
        ("run.id || !run.is_root", {"run": {"is_root": False, "id": ""}}, True),
        ("!run.is_root == `false`", {"run": {"is_root": True}}, True),
        ("!is_true(model.tags.a)", {"model": {"tags": {"a": "no"}}}, True),
    ],
)
def test_not_is_of_the_whole_path_that_follows(
    text: str, data: dict[str, Any], value: object
) -> None:
    assert compile_expression(text).evaluate(data) is value


@pytest.mark.parametrize("text", ["run.is_root", "!run.is_root", "run.is_root && is_true(run.id)"])
def test_what_is_true_or_false_is_a_condition_by_itself(text: str) -> None:
    assert find_condition_faults(compile_expression(text), _CHANGED) == ()


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("model.tags.a", "text", "is_true(model.tags.a), or model.tags.a != `null` if it only"),
        ("model.name", "text", "Compare it: model.name == '…', is_true("),
        ("model", "a mapping", "model.name == '…'"),
        ("model.tags", "a mapping", "length(model.tags) > `0`"),
        ("length(model.tags)", "a number", "length(model.tags) > `0`"),
        ("model.tags.a || 'x'", "text", "(model.tags.a || 'x') == '…'"),
        ("[is_true(model.tags.a)]", "a list", ""),
        ("{a: is_true(model.tags.a)}", "a mapping", ""),
        ("to_number(model.tags.a)", "a number", "to_number(model.tags.a) > `0`"),
    ],
)
def test_what_never_gives_true_or_false_is_no_condition(text: str, kind: str, hint: str) -> None:
    (fault,) = find_condition_faults(compile_expression(text), _REGISTERED)
    assert fault.message == f"`{text}` gives {kind}, a condition has to give true or false"
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("text", "part", "offset"),
    [
        ("run.is_root && run.tags.x", "run.tags.x", 15),
        ("run.is_root && id && run.tags.x", "run.tags.x", 21),
        ("run.tags.x || run.is_root", "run.tags.x", None),
        ("run.is_root || run.tags.x", "run.tags.x", 15),
        ("run.is_root && ( (run.tags.x)|| !run.id )", "run.tags.x", 18),
        ("(id && run.is_root || run.is_root && run.id)", "run.id", 37),
        ("run.is_root && (run.id || run.tags.x)", "run.id || run.tags.x", 16),
        ("run.is_root && contains(run.tags.x, '(||') || run.tags", "run.tags", 46),
    ],
)
def test_each_part_that_can_be_the_result_has_to_be_a_condition(
    text: str, part: str, offset: int | None
) -> None:
    (fault,) = find_condition_faults(compile_expression(text), _CHANGED)
    assert fault.message.startswith(f"`{part}` gives ")
    assert fault.offset == offset


def test_a_list_is_no_condition_but_its_length_can_be_asked() -> None:
    text = "drift.state == 'breach' && drift.metrics[?breached]"
    (fault,) = find_condition_faults(compile_expression(text), _DRIFTED)
    assert fault.message.startswith("`drift.metrics[?breached]` gives a list")
    assert "length(drift.metrics[?breached]) > `0`" in fault.hint


@pytest.mark.parametrize(
    "text",
    [
        "is_true(model.tags.a)",
        "!model.tags.a",
        "id == 'x'",
        "model.tags.a && id == 'x'",
        "(model.tags.a || id) && (id == 'x' || model.tags.a != `null`)",
        "model.tags.a | @ == 'x' || @ == 'y'",
        "`true`",
    ],
)
def test_what_may_give_true_or_false_is_a_condition(text: str) -> None:
    assert find_condition_faults(compile_expression(text), _REGISTERED) == ()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_the_shape_of_each_event_type_is_the_shape_of_its_data(event: Event) -> None:
    def agree(shape: object, value: Any) -> None:
        if isinstance(shape, RecordShape):
            assert set(shape.fields) == set(value)
            for name, inner in shape.fields.items():
                agree(inner, value[name])
        elif isinstance(shape, FreeMap):
            assert isinstance(value, dict)
        elif isinstance(shape, Many):
            assert isinstance(value, list)
        else:
            assert not isinstance(value, dict | list)

    agree(shape_of(event.type), as_data(event))


_TAGS = st.dictionaries(st.text(), st.text(), max_size=3)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_LEAVES = (
    "a|@|*|&a|'x'|[0]|a[]|a[::2]|a[*].b|[?a > `1`]|`1`|`-0.5`|`null`|`[1]`|\"ä\"|model.tags.x"
    "|service.models[*]|to_number(a)"
)
_LEAF = st.sampled_from(_LEAVES.split("|"))


def _combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["==", "!=", "<", ">=", "&&", "||", "|", "."])
    calls = st.builds(
        lambda name, arguments: f"{name}({', '.join(arguments)})",
        st.sampled_from(sorted(FUNCTIONS)),
        st.lists(inner, min_size=1, max_size=3),
    )
    return calls | st.builds(lambda a, op, b: f"{a} {op} {b}", inner, operators, inner)


@given(text=st.text(alphabet="abm.()[]{}'`\"&|!=<>-*@? 01", max_size=20))
def test_any_text_is_an_expression_or_says_where_it_stops_being_one(text: str) -> None:
    try:
        compile_expression(text)
    except ExpressionSyntax as error:
        offset = error.offset
    else:
        offset = 0
    assert 0 <= offset <= len(text)


@given(text=st.recursive(_LEAF, _combined, max_leaves=5) | st.text(max_size=30), data=_JSON)
def test_nothing_but_an_expression_failing_comes_of_any_expression_and_data(
    text: str, data: Any
) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionSyntax:
        return
    for on in EventType:
        find_condition_faults(expression, on)
    with suppress(ExpressionFailed):
        expression.evaluate(data)
    assert expression.holds(data) in (True, False)
    assert expression.explain(data)


@given(tags=_TAGS)
def test_an_absent_tag_is_null_beside_any_others(tags: dict[str, str]) -> None:
    data = as_data(ModelRegistered(**_COMMON, model=Model(name="m", version="1", tags=tags)))
    assert compile_expression("model.tags.deploy").evaluate(data) == tags.get("deploy")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("model.name == 'x'", set()),
        ("is_true(model.tags.deploy)", {"deploy"}),
        ("model.tags.\"deploy-to\" == 'x' && !model.tags.off", {"deploy-to", "off"}),
        ("model.tags.a.b", {"a"}),
        ("model | tags.a", {"a"}),
        ("model.{x: tags.a}.x", {"a"}),
        ("length(model.tags) > `1`", None),
        ("model.tags.*", None),
        ("contains(keys(model.tags), model.tags.a)", None),
    ],
)
def test_an_expression_knows_which_tags_it_reads(text: str, names: set[str] | None) -> None:
    assert compile_expression(text).tags == names
