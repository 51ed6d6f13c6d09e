"""Values of actions: checked while the file is loaded, and made for one event later."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from shared.base.errors import ParamsInvalid
from shared.reactions.model import Params, Step
from shared.reactions.templates import OPEN, Template, render
from shared.schema.document import Path
from shared.schema.faults import ParamFault, _explain, read_values
from shared.schema.values import LoadContext


def find_param_faults(
    action: str, raw: Mapping[str, Any], params: type[Params], context: LoadContext
) -> tuple[ParamFault, ...]:
    """Return the faults of values as written, except those that an expression decides."""
    inputs = raw.get("inputs")
    names = tuple(inputs) if isinstance(inputs, Mapping) else ()
    _, faults = read_values(action, raw, params, replace(context, inputs=names))
    open_paths = tuple(_templated(raw, ())) if faults else ()
    return tuple(
        fault
        for fault in faults
        if fault.is_of_key or not any(_overlap(fault.path, path) for path in open_paths)
    )


def find_never_text(
    action: str,
    params: Mapping[str, Any],
    kind: type[Params],
    sample: Callable[[Template], object],
    context: LoadContext,
) -> Iterator[tuple[Path, str]]:
    """Yield each path that takes only text, if `sample` of its template is of another kind.

    Each comes with the template as it is written.
    """
    templates = dict(_templates_in(params, ()))
    samples = {path: sample(template) for path, template in templates.items()}
    if all(isinstance(value, str) for value in samples.values()):
        return
    raw = _with(params, samples, ())
    _, faults = read_values(action, raw, kind, replace(context, find_job_faults=lambda *_: ()))
    for fault in faults:
        if fault.path in templates and " should be text, found " in fault.message:
            yield fault.path, templates[fault.path].text


def _templates_in(value: Any, path: Path) -> Iterator[tuple[Path, Template]]:
    if isinstance(value, Template):
        yield path, value
    elif isinstance(value, Mapping | list):
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in pairs:
            yield from _templates_in(item, (*path, key))


def _with(value: Any, samples: Mapping[Path, object], path: Path) -> Any:
    if path in samples:
        return samples[path]
    if isinstance(value, Mapping):
        return {key: _with(item, samples, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, samples, (*path, index)) for index, item in enumerate(value)]
    return value


def prepare[P: Params](step: Step, data: Mapping[str, Any], params: type[P]) -> P:
    """Return the step's values for one event, as its action takes them.

    Raises: ExpressionFailed, ParamsInvalid.
    """
    raw = render(step, data)
    try:
        return params.model_validate(raw)
    except ValidationError as error:
        faults = _explain(error, step.action, raw, params, ())
        faulty = "; ".join(fault.message + _origin(step, fault.path) for fault in faults)
        raise ParamsInvalid(faulty) from error


def revise[P: Params](action: str, values: Mapping[str, Any], params: type[P]) -> P:
    """Return an action's values after a tag has chosen some of them.

    Raises: ParamsInvalid, with a sentence for each invalid value.
    """
    try:
        return params.model_validate(values)
    except ValidationError as error:
        faults = _explain(error, action, values, params, ())
        faulty = "; ".join(f"{fault.message} {fault.hint}".strip() for fault in faults)
        raise ParamsInvalid(f"a tag's value can't be used: {faulty}") from None


def _origin(step: Step, path: Path) -> str:
    value: Any = step.params
    for part in path:
        if isinstance(value, Template):
            break
        try:
            value = value[part]
        except (LookupError, TypeError):
            return ""
    return f" (from {value.text})" if isinstance(value, Template) else ""


def _templated(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, str) and OPEN in value:
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _templated(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _templated(item, (*path, index))


def _overlap(one: Path, two: Path) -> bool:
    shorter = min(len(one), len(two))
    return one[:shorter] == two[:shorter]
