"""Save small MLflow models, one of each kind that the scoring script distinguishes.

`python make_models.py FOLDER`, with the inference server's own Python.
"""

import logging
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec


class Total(mlflow.pyfunc.PythonModel):
    """Adds up the numbers of each row; like any model of scikit-learn it refuses to have none."""

    def predict(self, context, model_input, params=None):  # hints would be taken for a signature
        """Return one number for each row."""
        rows = next(iter(model_input.values())) if isinstance(model_input, dict) else model_input
        if not len(rows):
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        numbers = pd.DataFrame(np.asarray(rows).reshape(len(rows), -1))
        return numbers.select_dtypes("number").sum(axis=1).to_numpy()


_ROWS = pd.DataFrame({"age": [31.5, 40.0], "calls": [1, 2], "plan": ["monthly", "yearly"]})
_COLUMNS = Schema([ColSpec("double", "age"), ColSpec("long", "calls"), ColSpec("string", "plan")])
_TENSOR = Schema([TensorSpec(np.dtype("float64"), (-1, 3))])
_TENSORS = Schema([TensorSpec(np.dtype("float32"), (-1, 3), name="x")])

MODELS: dict[str, dict[str, Any]] = {
    "example": {"signature": ModelSignature(inputs=_COLUMNS), "input_example": _ROWS},
    "signature": {"signature": ModelSignature(inputs=_COLUMNS)},
    "tensor": {"signature": ModelSignature(inputs=_TENSOR)},
    "tensors": {"signature": ModelSignature(inputs=_TENSORS)},
    "bare": {},
}


def main(folder: Path) -> None:
    """Save all of them below the folder, each in a folder of its name."""
    logging.disable(logging.WARNING)
    for name, values in MODELS.items():
        mlflow.pyfunc.save_model(
            str(folder / name), python_model=Total(), pip_requirements=["mlflow-skinny"], **values
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
