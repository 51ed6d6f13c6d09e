"""A request for a model without a golden one, made from what its own files say it takes.

The files are anybody's. They are read up to a size, and never run.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.base.errors import SignalboxError
from shared.base.incoming import read_json
from shared.base.redact import redact
from shared.events.model import Workspace
from shared.workspaces.model import Deployment, ModelKind, ModelVersion
from shared.workspaces.ports import Models

#: Sent if it is not known what the model takes. The server in the container complains of it (400)
#: before the model gets it, so that the complaint proves that the model is loaded: the
#: server listens only then. With `{"input_data": []}` the model itself would raise.
EMPTY_REQUEST = b"{}"

_MODEL_FILE = "MLmodel"
#: Larger files count as absent. A signature takes some 60 bytes a column.
FILE_MAX = 256 * 1024
_NUMBERS_MAX = 100_000
_REASON_MAX = 200

_ID = re.compile(r".+/workspaces/[^/]+/models/([^/]+)/versions/([^/]+)", re.IGNORECASE)
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
#: A value of each type that a column can have, as JSON has it.
_VALUES: Mapping[str, Any] = {
    "boolean": True,
    "integer": 1,
    "long": 1,
    "float": 1.0,
    "double": 1.0,
    "string": "a",
    "datetime": "2026-01-01T00:00:00",
}


class SampleKind(StrEnum):
    """Where a request comes from, in words that go on after "answered"."""

    EXAMPLE = "its own input example"
    SIGNATURE = "a row made up from its signature"
    EMPTY = "an empty request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A request for a model. `why` says why there is nothing better than an empty one."""

    kind: SampleKind
    body: bytes
    why: str = ""


class _Unreadable(Exception):
    """A file lacks what it should have; the message goes on after "the model's"."""


def find_sample(workspace: Workspace, deployment: Deployment, workspaces: Models) -> Sample:
    """Return the best request for a deployment's model; an empty one where none can be made.

    Three requests at the most. Unreadable files are not the model's fault, and no
    error here.
    """
    match = _ID.fullmatch(deployment.model)
    if match is None:
        return _nothing("no model of the workspace is known to be in it")
    try:
        model = workspaces.get_model(workspace, match[1], match[2])
        if model is None:
            return _nothing("its model is no longer in the workspace")
        if model.kind != ModelKind.MLFLOW:
            return _nothing("it is no MLflow model")
        return read_sample(_reader(workspace, model, workspaces))
    except SignalboxError as error:
        return _nothing(redact(error.message, most=_REASON_MAX))


def _reader(
    workspace: Workspace, model: ModelVersion, workspaces: Models
) -> Callable[[str], bytes | None]:
    return lambda path: workspaces.read_model_file(workspace, model, path, most=FILE_MAX)


def read_sample(read: Callable[[str], bytes | None]) -> Sample:
    """Return the request that a model's files make; `read` returns a file, or None without it."""
    text = read(_MODEL_FILE)
    if text is None:
        return _nothing(f"it has no file {_MODEL_FILE}")
    try:
        described = _parse_yaml(text)
    except _Unreadable as error:
        return _nothing(f"its {error}")
    inputs = _inputs(described)
    example = _find_example(described, inputs, read)
    if example is not None:
        return Sample(kind=SampleKind.EXAMPLE, body=_body(example))
    if not inputs:
        return _nothing("it has neither an input example nor a signature that can be used")
    made_up = _made_up(inputs)
    if made_up is None:
        return _nothing("its signature has types of which no value can be made up")
    return Sample(kind=SampleKind.SIGNATURE, body=_body(made_up))


def _nothing(why: str) -> Sample:
    return Sample(kind=SampleKind.EMPTY, body=EMPTY_REQUEST, why=why)


def _body(data: Any) -> bytes:
    return json.dumps({"input_data": data}).encode()


def _parse_yaml(text: bytes) -> Mapping[Any, Any]:
    import yaml

    try:
        # This loader makes texts, lists and mappings, and nothing else: no tags, no times, and no
        # `<<`, which multiplies.
        found = yaml.load(text.decode(), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise _Unreadable(f"{_MODEL_FILE} is no YAML") from None
    if not isinstance(found, Mapping):
        raise _Unreadable(f"{_MODEL_FILE} is no mapping")
    return found


def _parse_json(text: bytes | str) -> Any:
    """Return the value of a JSON text, None if it is no JSON."""
    try:
        return read_json(text)
    except ValueError:
        return None


def _inputs(described: Mapping[Any, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the description of each input in the signature, () if none can be read."""
    signature = described.get("signature")
    text = signature.get("inputs") if isinstance(signature, Mapping) else None
    found = _parse_json(text) if isinstance(text, str) else None
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        return ()
    return found


def _find_example(
    described: Mapping[Any, Any],
    inputs: Sequence[Mapping[str, Any]],
    read: Callable[[str], bytes | None],
) -> Any:
    """Return the model's own example in the form that its scoring script takes, or None.

    Only tables and arrays count, because it is uncertain how the script reads other examples.
    """
    info = described.get("saved_input_example_info")
    path = info.get("artifact_path") if isinstance(info, Mapping) else None
    kind = info.get("type") if isinstance(info, Mapping) else None
    if kind not in ("dataframe", "ndarray"):
        return None
    if not isinstance(path, str) or _PATH.fullmatch(path) is None:
        return None
    text = read(path)
    content = _parse_json(text) if text is not None else None
    return _table(content) if kind == "dataframe" else _arrays(content, inputs)


def _table(content: Any) -> Any:
    rows = content.get("data") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        return None
    columns = content.get("columns", list(range(len(rows[0]))))
    return {"columns": columns, "index": list(range(len(rows))), "data": rows}


def _arrays(content: Any, inputs: Sequence[Mapping[str, Any]]) -> Any:
    """Return arrays as they are; older versions of MLflow put them below `inputs`."""
    is_wrapped = isinstance(content, Mapping) and "inputs" in content
    if is_wrapped and all(item.get("name") != "inputs" for item in inputs):
        content = content["inputs"]
    return content if isinstance(content, list | Mapping) and content else None


def _made_up(inputs: Sequence[Mapping[str, Any]]) -> Any:
    """Return one row, or one array of each name, or None where a type is not known."""
    if any(item.get("type") == "tensor" for item in inputs):
        arrays = {str(item.get("name") or ""): _array(item) for item in inputs}
        if any(array is None for array in arrays.values()):
            return None
        return arrays.get("", arrays)
    types = [str(item.get("type")) for item in inputs]
    if not all(kind in _VALUES for kind in types):
        return None
    columns = [item.get("name", number) for number, item in enumerate(inputs)]
    return {"columns": columns, "index": [0], "data": [[_VALUES[kind] for kind in types]]}


def _array(item: Mapping[str, Any]) -> Any:
    spec = item.get("tensor-spec")
    shape = spec.get("shape") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(shape, list) or not shape:
        return None
    if not all(isinstance(size, int) and size >= -1 for size in shape):
        return None
    sizes = [1 if size == -1 else size for size in shape]
    if len(sizes) > 32 or not 0 < math.prod(sizes) <= _NUMBERS_MAX:
        return None
    value: Any = "a" if spec.get("dtype") in ("str", "object") else 1
    for size in reversed(sizes):
        value = [value] * size
    return value
