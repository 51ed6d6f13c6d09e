"""Answers of the inference server in a deployment's container, behind the endpoint's front.

It is Microsoft's azureml-inference-server-http with the scoring script that an MLflow model gets; a
test compares both with the same table. The scripts of other models are taken to read any JSON.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from sandbox.workspace.arm import Json
from sandbox.workspace.entities import ModelVersion

_SCRIPT_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
_SERVER_FAILED = "An unexpected internal error occurred. Check the logs for more info."
_NUMBERS = frozenset({"double", "float", "long", "integer"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it reaches the container; `path` has no leading slash, `query` is decoded."""

    method: str
    path: str
    content_type: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The container's answer; `body` is a text or JSON."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The inputs in a model's signature: columns by type, or tensors by shape.

    A tensor without a name has the name "". Nothing at all means that there is no signature.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Sequence[int]] = field(default_factory=dict)


class _ScriptFailed(Exception):
    """The scoring script, or the model, raises."""


def reply(request: Request, model: ModelVersion | None, inputs: Inputs) -> Reply:
    """Answer one request."""
    allowed = {
        "": ("GET", "HEAD"),
        "swagger.json": ("GET", "HEAD"),
        "score": ("GET", "POST", "OPTIONS"),
    }.get(request.path)
    if allowed is None:
        return _error_reply(404, "The requested URL was not found on the server.")
    if request.method not in allowed:
        return _error_reply(405, "The method is not allowed for the requested URL.")
    if request.path == "":
        return Reply(status=200, body="Healthy")
    if request.path == "swagger.json":
        return _describe(request.query.get("version", "2"))
    if request.method == "OPTIONS":
        return Reply(status=200, body="")
    is_mlflow = model is not None and model.type == "mlflow_model"
    name = f"{model.name}:{model.version}" if model else ""
    return _score_mlflow(request, name, inputs) if is_mlflow else _score_any(request, name)


def _describe(version: str) -> Reply:
    if version not in ("2", "3", "3.1"):
        return _error_reply(404, f"Swagger version [{version}] is not supported.")
    version_key = {"swagger": "2.0"} if version == "2" else {"openapi": f"{version}.0"[:5]}
    info = {"title": "ML service", "version": "1.0"}
    return Reply(status=200, body=version_key | {"info": info, "paths": {"/": {}, "/score": {}}})


def _score_mlflow(request: Request, name: str, inputs: Inputs) -> Reply:
    """Answer as a script whose `run` names its argument `input_data`."""
    content: Any = dict(request.query)
    if request.method == "POST":
        subtype = request.content_type.partition(";")[0].strip().lower()
        if subtype != "application/json" and not subtype.endswith("+json"):
            return _error_reply(415, "Expects Content-Type to be application/json")
        if not request.body:
            return _error_reply(400, "POST body is empty. Expecting a JSON dictionary.")
        try:
            content = json.loads(request.body)
        except UnicodeDecodeError:
            return _error_reply(500, _SERVER_FAILED)
        except ValueError as error:
            return _error_reply(400, f"POST body could not be decoded as JSON: {error}")
    if not isinstance(content, dict):
        return _error_reply(400, "POST body should be a JSON dictionary.")
    if "input_data" not in content:
        return _error_reply(400, "A value is not provided for the 'input_data' parameter.")
    return _predict(name, lambda: _rows(content["input_data"], inputs))


def _score_any(request: Request, name: str) -> Reply:
    """Answer as a script whose `run` takes the body as it is, and reads it as JSON."""
    body = request.body if request.method == "POST" else json.dumps(dict(request.query)).encode()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        return _error_reply(400, f"Input cannot be decoded as UTF-8: {error}")
    return _predict(name, lambda: _items(text))


def _predict(name: str, read: Callable[[], list[Any]]) -> Reply:
    """Answer one number per row, always the same for the same version."""
    try:
        return Reply(status=200, body=[_prediction(name, row) for row in read()])
    except (_ScriptFailed, ValueError):
        return _error_reply(500, _SCRIPT_FAILED)


def _items(text: str) -> list[Any]:
    content = json.loads(text)
    return content if isinstance(content, list) else [content]


def _rows(data: Any, inputs: Inputs) -> list[Any]:
    """Return the rows that a model reads from `input_data`.

    Raises: _ScriptFailed for what its signature does not allow, and for no rows at all.
    """
    if inputs.tensors:
        rows = _arrays(data, inputs.tensors)
    elif inputs.columns or (isinstance(data, dict) and {"columns", "data"} <= data.keys()):
        rows = _table(data, inputs.columns)
    elif isinstance(data, dict) and data:
        rows = next(iter(data.values()))
    else:
        rows = data
    if not isinstance(rows, list) or not rows:
        raise _ScriptFailed
    return rows


def _table(data: Any, wanted: Mapping[str, str]) -> Any:
    if not isinstance(data, dict) or not {"columns", "data"} <= data.keys():
        raise _ScriptFailed
    columns, rows = data["columns"], data["data"]
    if not isinstance(rows, list) or not set(wanted) <= set(columns):
        raise _ScriptFailed
    for row in rows:
        if not isinstance(row, list) or len(row) != len(columns):
            raise _ScriptFailed
        for column, value in zip(columns, row, strict=True):
            is_number = isinstance(value, int | float) or value is None
            if wanted.get(column) in _NUMBERS and not is_number:
                raise _ScriptFailed
    return rows


def _arrays(data: Any, wanted: Mapping[str, Sequence[int]]) -> Any:
    arrays = {"": data} if "" in wanted else data
    if not isinstance(arrays, dict) or arrays.keys() != wanted.keys():
        raise _ScriptFailed
    for name, shape in wanted.items():
        _check_shape(arrays[name], shape)
    return next(iter(arrays.values()))


def _check_shape(value: Any, shape: Sequence[int]) -> None:
    if bool(shape) != isinstance(value, list):
        raise _ScriptFailed
    if shape:
        if shape[0] not in (-1, len(value)):
            raise _ScriptFailed
        for item in value:
            _check_shape(item, shape[1:])


def _prediction(model: str, row: Any) -> float:
    digest = hashlib.sha256(f"{model}{json.dumps(row, sort_keys=True)}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def _error_reply(status: int, message: str) -> Reply:
    assert HTTPStatus(status)
    body: Json = {"message": message}
    return Reply(status=status, body=body)
