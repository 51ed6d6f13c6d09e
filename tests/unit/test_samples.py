"""A request for a model is made from its own files, which anybody may have written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rollouts.engine.samples import EMPTY_REQUEST, FILE_MAX, Sample, SampleKind, read_sample

COLUMNS = [
    {"name": "age", "type": "double"},
    {"name": "calls", "type": "long"},
    {"name": "plan", "type": "string"},
    {"name": "since", "type": "datetime"},
    {"name": "active", "type": "boolean"},
]
TABLE = {"type": "dataframe", "artifact_path": "input_example.json", "pandas_orient": "split"}
ARRAY = {"type": "ndarray", "artifact_path": "input_example.json"}


def tensor(shape: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": shape}} | more


def described(inputs: Any = None, example: Any = None) -> str:
    """Return an MLmodel file; JSON is YAML."""
    document: dict[str, Any] = {"flavors": {"python_function": {}}}
    if inputs is not None:
        document["signature"] = {"inputs": json.dumps(inputs), "outputs": None}
    if example is not None:
        document["saved_input_example_info"] = example
    return json.dumps(document)


def sample(mlmodel: str | bytes | None, example: Any = None, **files: bytes) -> Sample:
    """Return what is made of an MLmodel file and an input example."""
    known = {name: content for name, content in files.items()}
    if mlmodel is not None:
        known["MLmodel"] = mlmodel.encode() if isinstance(mlmodel, str) else mlmodel
    if example is not None:
        known["input_example.json"] = (
            example if isinstance(example, bytes) else json.dumps(example).encode()
        )
    return read_sample(known.get)


def data_of(found: Sample) -> Any:
    return json.loads(found.body)["input_data"]


@pytest.mark.parametrize(
    ("mlmodel", "example", "data"),
    [
        (
            described(COLUMNS, TABLE),
            {"columns": ["a", "b"], "data": [[1.5, "x"], [2.5, "y"]]},
            {"columns": ["a", "b"], "index": [0, 1], "data": [[1.5, "x"], [2.5, "y"]]},
        ),
        (
            described(None, TABLE),
            {"columns": ["a"], "index": [7], "data": [[1]]},
            {"columns": ["a"], "index": [0], "data": [[1]]},
        ),
        (
            described(None, TABLE),
            {"data": [[1, 2]]},
            {"columns": [0, 1], "index": [0], "data": [[1, 2]]},
        ),
        (described(None, ARRAY), [[1, 2]], [[1, 2]]),
        (described(None, ARRAY), {"inputs": [[1, 2]]}, [[1, 2]]),
        (described(None, ARRAY), {"inputs": {"x": [1]}}, {"x": [1]}),
        (described([tensor([-1], name="x")], ARRAY), {"x": [1]}, {"x": [1]}),
        (described([tensor([-1], name="inputs")], ARRAY), {"inputs": [1]}, {"inputs": [1]}),
    ],
)
def test_a_model_is_asked_for_its_own_input_example(mlmodel: str, example: Any, data: Any) -> None:
    found = sample(mlmodel, example)
    assert found.kind is SampleKind.EXAMPLE
    assert data_of(found) == data


def test_a_missing_value_of_an_example_stays_missing() -> None:
    found = sample(described(None, TABLE), b'{"columns": ["a"], "data": [[NaN]]}')
    assert b"NaN" in found.body


@pytest.mark.parametrize(
    ("inputs", "data"),
    [
        (
            COLUMNS,
            {
                "columns": ["age", "calls", "plan", "since", "active"],
                "index": [0],
                "data": [[1.0, 1, "a", "2026-01-01T00:00:00", True]],
            },
        ),
        ([{"type": "double"}] * 2, {"columns": [0, 1], "index": [0], "data": [[1.0, 1.0]]}),
        ([tensor([-1, 2])], [[1, 1]]),
        ([tensor([-1, -1, 2])], [[[1, 1]]]),
        ([tensor([3])], [1, 1, 1]),
        ([tensor([-1, 1], name="x"), tensor([1], name="y")], {"x": [[1]], "y": [1]}),
    ],
)
def test_without_an_example_a_row_is_made_up_from_its_signature(inputs: Any, data: Any) -> None:
    found = sample(described(inputs))
    assert found.kind is SampleKind.SIGNATURE
    assert data_of(found) == data


@pytest.mark.parametrize(
    ("info", "example"),
    [
        (TABLE, None),
        (TABLE, b"{"),
        (TABLE, b"[" * 100_000),
        (TABLE, b"1" * 5000),
        (TABLE, {"columns": ["a"], "data": []}),
        (TABLE, {"columns": ["a"], "data": [1]}),
        (TABLE, [{"a": 1}]),
        (ARRAY, "text"),
        (ARRAY, []),
        (ARRAY, {}),
        ({"type": "json_object", "artifact_path": "input_example.json"}, {"a": 1}),
        ({"type": "sparse_matrix_csc", "artifact_path": "input_example.json"}, {"data": [1]}),
        ({"type": "dataframe"}, {"columns": ["a"], "data": [[1]]}),
        ("text", {"columns": ["a"], "data": [[1]]}),
        *(
            ({"type": "dataframe", "artifact_path": path}, {"columns": ["a"], "data": [[1]]})
            for path in (
                "../input_example.json",
                "/etc/passwd",
                "a//b",
                ".env",
                "a/../b",
                "",
                "a?b",
            )
        ),
    ],
)
def test_an_example_that_can_t_be_used_is_left_alone(info: Any, example: Any) -> None:
    assert sample(described(COLUMNS, info), example).kind is SampleKind.SIGNATURE


@pytest.mark.parametrize(
    ("mlmodel", "why"),
    [
        (None, "it has no file MLmodel"),
        ("flavors: {python_function: {}}", "neither an input example nor a signature"),
        ("", "its MLmodel is no mapping"),
        ("- 1", "its MLmodel is no mapping"),
        ("a: [", "its MLmodel is no YAML"),
        (b"\xff\xfe", "its MLmodel is no YAML"),
        ("[" * 50_000, "its MLmodel is no YAML"),
        ("signature: {inputs: '{'}", "neither"),
        ("signature: {inputs: '[1]'}", "neither"),
        ("signature: text", "neither"),
        (described([{"type": "any"}]), "types of which no value can be made up"),
        (described([{"name": "a", "type": "array", "items": {}}]), "types of which"),
        (described([tensor([10_000, 10_000])]), "types of which"),
        (described([tensor([0])]), "types of which"),
        (described([tensor([-2])]), "types of which"),
        (described([tensor([1] * 1000)]), "types of which"),
        (described([tensor([])]), "types of which"),
        (described([tensor("3")]), "types of which"),
        (described([{"type": "tensor", "tensor-spec": 1}]), "types of which"),
    ],
)
def test_of_a_model_that_says_nothing_only_its_server_is_asked(
    mlmodel: str | bytes | None, why: str
) -> None:
    found = sample(mlmodel)
    assert (found.kind, found.body) == (SampleKind.EMPTY, EMPTY_REQUEST)
    assert why in found.why


def test_what_a_model_file_says_is_never_run() -> None:
    evil = b"!!python/object/apply:os.system ['false']\n"
    assert sample(b"signature: " + evil).kind is SampleKind.EMPTY
    assert sample(b"!!python/name:os.system").kind is SampleKind.EMPTY


def test_a_model_file_that_multiplies_stays_small() -> None:
    levels = [f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, 40)]
    merged = "\n".join(["x0: &x0 {a: 1}", *levels])
    assert sample(merged).kind is SampleKind.EMPTY
    aliases = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert sample("\n".join(["x0: &x0 [a]", *aliases])).kind is SampleKind.EMPTY


def test_no_request_is_larger_than_the_files_by_more_than_its_form() -> None:
    wide = [{"name": f"column {n}", "type": "double"} for n in range(3000)]
    mlmodel = described(wide)
    assert len(mlmodel) < FILE_MAX
    assert len(sample(mlmodel).body) < 2 * len(mlmodel)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "tensor-spec", "shape", "dtype", "data", "columns"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(inputs=JSONS, info=JSONS | st.sampled_from([TABLE, ARRAY]), example=JSONS)
def test_a_request_can_be_made_of_any_files_of_a_model(
    inputs: Any, info: Any, example: Any
) -> None:
    found = sample(described(inputs, info), example)
    assert json.loads(found.body) == {} or found.kind is not SampleKind.EMPTY
