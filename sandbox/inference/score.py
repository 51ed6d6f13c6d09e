"""The scoring script of an MLflow model that is deployed without code.

It does the same as the script that AML puts into such a container, with the same library: the
request is read as the type of the model's own input example, else by its signature, else as it
comes.
"""

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
from mlflow.models import Model
from mlflow.pyfunc import load_model
from mlflow.pyfunc.scoring_server import _get_jsonable_obj

_FOLDER = Path(os.environ["AZUREML_MODEL_DIR"])


class _AsItComes(AbstractParameterType):
    """An input of which nothing is known."""

    def __init__(self) -> None:
        super().__init__(None)

    def deserialize_input(self, input_data: Any) -> Any:
        """Return what came."""
        return input_data

    def input_to_swagger(self) -> dict[str, Any]:
        """Describe any object."""
        return {"type": "object", "example": {}}


def _example(model: Model) -> Any:
    """Return the model's own input example, or None if it has none that can be read."""
    example = model.saved_input_example_info
    if not example:
        return None
    try:
        content = json.loads((_FOLDER / example["artifact_path"]).read_text())
        if example["type"] == "dataframe":
            orient = "split" if "columns" in content else "values"
            return pd.read_json(StringIO(json.dumps(content)), orient=orient, dtype=False)
        inputs = content["inputs"]
        if isinstance(inputs, dict):
            return {name: np.asarray(value) for name, value in inputs.items()}
        return np.asarray(inputs)
    except (TypeError, KeyError, ValueError):
        return None


def _of_signature(model: Model) -> Any:
    """Return something empty of the types that the signature names, or None without one."""
    if model.signature is None or model.signature.inputs is None:
        return None
    inputs = model.signature.inputs
    if not inputs.is_tensor_spec():
        types = dict(zip(inputs.input_names(), inputs.pandas_types(), strict=True))
        return pd.DataFrame(columns=inputs.input_names()).astype(types)
    tensors = [
        np.zeros([1 if size == -1 else size for size in spec.shape], dtype=spec.type)
        for spec in inputs.inputs
    ]
    if not inputs.has_input_names():
        return tensors[0]
    return dict(zip(inputs.input_names(), tensors, strict=True))


def _type_of(sample: Any) -> AbstractParameterType:
    if isinstance(sample, np.ndarray):
        return NumpyParameterType(sample, enforce_shape=False)
    if isinstance(sample, pd.DataFrame):
        return PandasParameterType(sample, enforce_shape=False, orient="split")
    if isinstance(sample, dict):
        parts = {
            name: NumpyParameterType(value, enforce_shape=False) for name, value in sample.items()
        }
        return StandardPythonParameterType(parts)
    return _AsItComes()


def _guess(content: Any) -> Any:
    """Return the input as the type that it looks like: a table, an array, or arrays by name."""
    if isinstance(content, list):
        return np.asarray(content)
    if {"columns", "index", "data"} <= content.keys():
        return pd.read_json(StringIO(json.dumps(content)), orient="split", dtype=False)
    return {name: np.asarray(value) for name, value in content.items()}


def _is_read(content: Any) -> bool:
    values = content.values() if isinstance(content, dict) else [content]
    return bool(values) and all(isinstance(value, np.ndarray | pd.DataFrame) for value in values)


_described = Model.load(str(_FOLDER))
_sample = _example(_described)
if _sample is None:
    _sample = _of_signature(_described)
_model = load_model(str(_FOLDER))


def init() -> None:
    """Do nothing: the model is loaded already."""


@input_schema("input_data", _type_of(_sample))
def run(input_data: Any) -> Any:
    """Return the model's predictions."""
    content = input_data if _is_read(input_data) else _guess(input_data)
    return _get_jsonable_obj(_model.predict(content), pandas_orient="records")
