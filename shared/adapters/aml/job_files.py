"""The YAML files of jobs: read, given their inputs, and checked by the SDK's schema. No network.

A job of the app can't bring code or data from the app's own folder: nothing there is meant to be
uploaded, and an upload takes longer than a trigger has. It names registered assets.
shared/adapters/aml/mlclient.py keeps the SDK itself from uploading as well.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.adapters.aml.jobs import DATA_TYPES
from shared.base.errors import JobInvalid
from shared.base.incoming import read_json_at
from shared.base.redact import redact
from shared.base.words import flat
from shared.retraining.addresses import is_registered_code, is_remote
from shared.retraining.targets import Submission
from shared.schema.wording import cut, suggest

if TYPE_CHECKING:
    from azure.ai.ml.entities import Job

_COMPONENT_FILE = re.compile(r"(?:file:)?(?P<path>[^:@]+\.ya?ml)", re.IGNORECASE)
#: Values whose keys people choose freely.
_OPAQUE = frozenset({"tags", "properties", "environment_variables"})
#: Mappings whose keys are names that people chose.
_NAMED = frozenset({"inputs", "outputs", "jobs"})

#: Types of inputs that are a value, which only components declare.
_LITERALS = ("string", "str", "integer", "int", "number", "float", "boolean", "bool", "enum")
#: The fields of an input that is an address; the last two have a message of their own.
_KEYS = (
    "type",
    "path",
    "mode",
    "datastore",
    "description",
    "path_on_compute",
    "optional",
    "default",
)

#: The ways in which data comes to a job.
_MODES = frozenset({"ro_mount", "rw_mount", "download", "direct", "eval_mount", "eval_download"})

_CODE_HINT = "register a component with it and name that: `component: azureml:churn_train@latest`"
_DATA_HINT = "register it as an asset and name that: `path: azureml:churn-data@latest`"

_FAULTS_MAX = 10
_DEPTH_MAX = 30


def find_job_faults(path: Path, inputs: Collection[str] = ()) -> tuple[str, ...]:
    """Return the faults of a job's file that is to run with inputs of these names.

    It imports azure-ai-ml.
    """
    try:
        document = read_job(path)
    except JobInvalid as error:
        return (error.message,)
    faults = [*_find_unknown(document, inputs), *_find_odd(document, inputs)]
    faults += _find_local(document, path)
    if faults:
        return tuple(faults)
    try:
        load(document, path)
    except JobInvalid as error:
        return tuple(error.message.split("\n"))
    return ()


def read_job(path: Path) -> dict[str, Any]:
    """Return a job's document. Raises: JobInvalid where there is none."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise JobInvalid(f"{path.name} can't be read", hint="Add it to the app.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" in line {mark.line + 1}" if mark else ""
        raise JobInvalid(f"{path.name} is no YAML{line}: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise JobInvalid(f"{path.name} is no YAML") from error
    if not isinstance(document, dict):
        raise JobInvalid(f"{path.name} holds no mapping")
    return document


def make_job(path: Path, submission: Submission, tags: Mapping[str, str]) -> "Job":
    """Return the job of a file for a submission, with its inputs and these tags on top of its own.

    A job without an experiment gets the name of the file as its experiment. The job is not shared.
    Raises: JobInvalid.
    """
    document = read_job(path)
    document["name"] = submission.name
    own = document.get("tags")
    document["tags"] = {**(own if isinstance(own, dict) else {}), **tags}
    document.setdefault("experiment_name", path.stem)
    faults = [*_find_unknown(document, submission.inputs)]
    if not faults:
        for key in submission.inputs:
            document["inputs"][key] = _input(document["inputs"][key], submission, key)
        faults = [*_find_odd(document), *_find_local(document, path)]
    if faults:
        raise JobInvalid("\n".join(faults))
    return load(document, path)


def load(document: Mapping[str, Any], path: Path) -> "Job":
    """Return the job of a document; `path` is where it was read, for the files that it names.

    Raises: JobInvalid with a line for each fault that the SDK finds.
    """
    import yaml

    from shared.adapters.aml.mlclient import sdk

    sdk()
    from azure.ai.ml import load_job
    from azure.ai.ml.exceptions import MlException
    from marshmallow import ValidationError

    try:
        job = load_job(StringIO(yaml.safe_dump(dict(document))), relative_origin=str(path))
        # Submitting begins with this; the public method needs a workspace.
        result = job._validate() if hasattr(job, "_validate") else None
    except (MlException, ValidationError) as error:
        raise JobInvalid("\n".join(faults_of(error))) from error
    except Exception as error:  # if the SDK crashes here, it is due to the file
        reason = redact(f"{type(error).__name__}: {error}", most=300)
        raise JobInvalid(f"azure-ai-ml can't read it: {reason}") from error
    if result is not None and not result.passed:
        messages = dict(result.error_messages).items()
        raise JobInvalid("\n".join(_line(where, message) for where, message in messages))
    return job


def faults_of(error: Exception) -> tuple[str, ...]:
    """Return the faults that an error of the SDK names, without the prose around them."""
    text = str(getattr(error, "message", "") or error)
    faults = tuple(dict.fromkeys(_unfold(_parse(text), ""))) or (redact(_plain(text), most=300),)
    return faults[:_FAULTS_MAX]


def _parse(text: str) -> Any:
    """Return the JSON in the middle of a text, or None."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        return read_json_at(text, start)[0]
    except ValueError:
        return None


def _unfold(report: Any, where: str, depth: int = 0) -> Iterator[str]:
    """Yield each fault of the SDK's nested reports, with where it is."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(report, str):
        inner = _parse(report)
        if inner is None:
            yield _line(where, report)
        else:
            yield from _unfold(inner, where, depth + 1)
    elif isinstance(report, list):
        for item in report:
            yield from _unfold(item, where, depth + 1)
    elif isinstance(report, dict) and isinstance(report.get("errors"), list):
        yield from _unfold(report["errors"], where, depth + 1)
    elif isinstance(report, dict) and "message" in report:
        path = str(report.get("path") or "")
        yield from _unfold(report["message"], path if path != "*" else where, depth + 1)
    elif isinstance(report, dict):
        for key, item in report.items():
            inside = where if key in ("_schema", "*") else f"{where}.{key}".strip(".")
            yield from _unfold(item, inside, depth + 1)


def _line(where: str, message: Any) -> str:
    fault = redact(_plain(str(message)), most=300)
    return f"`{where}`: {fault}" if where and where != "*" else fault


def _plain(text: str) -> str:
    return flat(re.sub(r"\x1b\[[0-9;]*m", "", text))


def _find_unknown(document: Mapping[str, Any], inputs: Collection[str]) -> Iterator[str]:
    declared = document.get("inputs")
    known = declared if isinstance(declared, dict) else {}
    for name in inputs:
        if name not in known:
            names = ", ".join(map(str, known)) or "none"
            yield f"the job has no input `{name}`; its inputs: {names}"


def _input(before: Any, submission: Submission, name: str) -> Any:
    """Return an input with another value: an address where the job declares one, else a literal."""
    if isinstance(before, dict) and ("path" in before or before.get("type") in DATA_TYPES):
        return {**before, "path": submission.address(name)}
    return submission.inputs[name]


def _find_odd(document: Mapping[str, Any], given: Collection[str] = ()) -> Iterator[str]:
    """Yield a fault for each input that is written or set as AML does not accept it.

    `given` are those that a reaction sets: they need no path in the file.
    """
    found = document.get("inputs")
    for name, value in (found if isinstance(found, dict) else {}).items():
        where = f"`inputs.{name}`"
        if value == "":
            yield f"{where} is empty, and AML leaves out an input without a value: give it a word"
        elif value is None:
            yield f"{where} has no value: give it one, for when a reaction gives none"
        elif isinstance(value, list | set):
            yield f"{where} is a list, and an input is one value: write a text, 'a,b'"
        elif isinstance(value, float) and not isfinite(value):
            yield f"{where} is no finite number"
        elif isinstance(value, date):
            yield f'{where} is read as a date: put quotes around it, "{value}"'
        elif isinstance(value, dict):
            yield from _find_odd_object(where, value, is_given=name in given)


def _find_odd_object(where: str, value: Mapping[str, Any], *, is_given: bool) -> Iterator[str]:
    kind = value.get("type", "uri_folder")
    strange = [str(key) for key in value if key not in _KEYS]
    if kind in _LITERALS:
        yield f"{where}: `type: {kind}` belongs to a component; write the value here: 30"
    elif kind not in DATA_TYPES:
        yield f"{where}: there is no `type: {cut(str(kind))}`. {suggest(str(kind), DATA_TYPES)}"
    elif strange:
        yield f"{where} has no `{cut(strange[0])}`. {suggest(strange[0], _KEYS)}"
    elif value.get("mode", "download") not in _MODES:
        mode = str(value["mode"])
        yield f"{where}: there is no `mode: {cut(mode)}`. {suggest(mode, _MODES)}"
    elif not value.get("path") and not is_given:
        yield f"{where} has no `path`: name the data, or set it under `inputs:` of the reaction"
    elif "optional" in value or "default" in value:
        yield f"{where}: `optional` and `default` belong to a component; leave them out here"


def _find_local(document: Mapping[str, Any], path: Path) -> Iterator[str]:
    return _local_in(document, path, "", _DEPTH_MAX)


def _local_in(node: Any, path: Path, where: str, depth: int) -> Iterator[str]:
    """Yield a fault for everything below a node that only the app's folder would have."""
    if isinstance(node, list):
        for item in node:
            yield from _local_in(item, path, where, depth - 1)
    if not isinstance(node, dict) or depth <= 0:
        return
    for key, value in node.items():
        inside = f"{where}.{key}".strip(".")
        if key in _NAMED and isinstance(value, dict):
            for name, item in value.items():
                yield from _local_in(item, path, f"{inside}.{name}", depth - 1)
        elif isinstance(value, str):
            yield from _local_value(key, value, path, inside, depth)
        elif key not in _OPAQUE:
            yield from _local_in(value, path, inside, depth - 1)


def _local_value(key: Any, value: str, path: Path, where: str, depth: int) -> Iterator[str]:
    if key == "code" and not is_registered_code(value):
        yield f"`{where}`: code is not uploaded from here; {_CODE_HINT}"
    elif key == "path" and not is_remote(value):
        yield f"`{where}`: nothing is uploaded from here; {_DATA_HINT}"
    elif key in ("component", "trial") and (match := _COMPONENT_FILE.fullmatch(value)):
        inner = (path.parent / match["path"]).resolve()
        try:
            yield from _local_in(read_job(inner), inner, where, depth - 1)
        except JobInvalid as error:
            yield f"`{where}`: {error.message}"
