"""The graph of a job, checked against the components, environments and computes that exist."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from sandbox.workspace.arm import Json, not_emulated, user_error
from sandbox.workspace.asset_entities import AssetVersion
from sandbox.workspace.assets import REGISTRY, AssetKind, find
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.components import COMPONENTS
from sandbox.workspace.components import TYPES as _COMPONENT_TYPES
from sandbox.workspace.computes import SERVERLESS, find_compute
from sandbox.workspace.entities import Workspace
from sandbox.workspace.environments import CURATED, ENVIRONMENTS
from sandbox.workspace.job_outputs import check_outputs

#: Steps that are no components: each has its own kind of run in Azure.
_OTHER_STEPS = {
    *("automl", "finetuning", "sweep", "data_transfer"),
    *("if_else", "do_while", "parallel_for"),
}
_COMMAND_EXPRESSION = re.compile(r"\$\{\{\s*(inputs|outputs)\.([\w.-]+?)\s*\}\}")
_EXPRESSION = re.compile(r"\$\{\{\s*parent\.(inputs|outputs|jobs)\.(\w+)(?:\.outputs\.\w+)?\s*\}\}")

#: Literal values by name; None for inputs that are data.
type Values = dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a pipeline, with the steps inside it; `inputs` are its literal ones."""

    name: str
    module: str
    component_id: str
    compute: str
    inputs: dict[str, str]
    outputs: Json
    steps: tuple["Node", ...] = field(default=())


def check_command(cloud: Cloud, workspace: Workspace, properties: Json) -> str:
    """Raise UserError unless a command job can run; returns the name of its compute."""
    command, environment = properties.get("command"), properties.get("environmentId")
    if not isinstance(command, str) or not command:
        raise user_error("A command job must have a command.", "command")
    if not isinstance(environment, str) or not environment:
        raise user_error("A command job must have an environmentId.", "environmentId")
    _check_known(workspace, ENVIRONMENTS, environment)
    literals_in(_object(properties, "inputs"))
    check_outputs(_object(properties, "outputs"))
    for kind, name in _COMMAND_EXPRESSION.findall(command):
        if name.split(".")[0] not in _object(properties, kind):
            raise user_error(f"The command names {kind}.{name}, which the job does not have.", kind)
    return _compute(cloud, workspace, str(properties.get("computeId") or SERVERLESS))


def resolve_pipeline(
    cloud: Cloud, workspace: Workspace, properties: Json
) -> tuple[Values, tuple[Node, ...]]:
    """Return the inputs and the steps of a pipeline job, in the order in which they run."""
    given = literals_in(_object(properties, "inputs"))
    check_outputs(_object(properties, "outputs"))
    jobs = _object(properties, "jobs")
    if reference := properties.get("componentId"):
        component = _check_known(workspace, COMPONENTS, str(reference))
        if component is None:
            raise not_emulated("Pipelines of a registry are", "componentId")
        spec = component.content["componentSpec"]
        if spec["type"] != "pipeline":
            raise user_error(f"The component '{component.name}' is no pipeline.", "componentId")
        given = _with_defaults(given, spec, f"pipeline '{component.name}'")
        _check_names(_object(properties, "outputs"), spec, "outputs", component.name)
        jobs = jobs or spec["jobs"]
    if not jobs:
        raise user_error("A pipeline job must have jobs or a componentId.", "jobs")
    settings = _object(properties, "settings")
    compute = (
        properties.get("computeId")
        or settings.get("default_compute")
        or settings.get("defaultCompute")
    )
    resolver = _Resolver(cloud, workspace)
    usual = resolver.compute(str(compute), given) if compute else ""
    return given, resolver.steps(jobs, given, usual)


def literals_in(inputs: Json) -> Values:
    """Return the values of inputs by name; one without a value or uri is refused."""
    return {name: _literal(name, value) for name, value in inputs.items() if value is not None}


class _Resolver:
    def __init__(self, cloud: Cloud, workspace: Workspace) -> None:
        self._cloud = cloud
        self._workspace = workspace

    def steps(self, jobs: Json, given: Values, compute: str) -> tuple[Node, ...]:
        nodes = {name: self._node(name, job, given, compute) for name, job in jobs.items()}
        return tuple(nodes[name] for name in _in_order(jobs))

    def compute(self, reference: str, given: Values) -> str:
        """Return the name of a compute, which one of the inputs may say."""
        match = _EXPRESSION.fullmatch(reference)
        if match is not None and match[1] == "inputs":
            reference = given.get(match[2]) or reference
        return _compute(self._cloud, self._workspace, reference)

    def _node(self, name: str, job: Json, given: Values, compute: str) -> Node:
        kind = job.get("type", "command") if isinstance(job, dict) else None
        if kind in _OTHER_STEPS:
            raise not_emulated(f"The step '{name}', of the type '{kind}', is", f"jobs.{name}")
        if kind not in _COMPONENT_TYPES:
            raise user_error(f"The type of step '{name}' is unknown.", f"jobs.{name}")
        reference = str(job.get("componentId") or "")
        if not reference:
            raise user_error(f"The step '{name}' must have a componentId.", f"jobs.{name}")
        component = _check_known(self._workspace, COMPONENTS, reference)
        check_outputs(_object(job, "outputs"))
        values = self._bound(name, _object(job, "inputs"), given)
        own = str(job.get("computeId") or "")
        compute = self.compute(own, given) if own else compute
        steps: tuple[Node, ...] = ()
        if component is not None:
            spec = component.content["componentSpec"]
            values = _with_defaults(values, spec, f"step '{name}'")
            _check_names(_object(job, "outputs"), spec, "outputs", name)
            if spec["type"] == "pipeline":
                steps = self.steps(spec["jobs"], values, compute)
        if not steps and not compute:
            raise user_error(
                f"The step '{name}' has no compute, and the pipeline has no default_compute.",
                f"jobs.{name}.computeId",
            )
        return Node(
            name=name,
            # An inline component has its own name in its spec only.
            module=component.content["componentSpec"]["name"]
            if component
            else _registry_name(reference),
            component_id=reference,
            compute=compute,
            inputs={key: value for key, value in values.items() if value is not None},
            outputs=_object(job, "outputs"),
            steps=steps,
        )

    def _bound(self, name: str, inputs: Json, given: Values) -> Values:
        """Return a step's inputs, those of its parent put in for the expressions."""
        values: Values = {}
        for key, value in literals_in(inputs).items():
            match = _EXPRESSION.fullmatch(value or "")
            if match is None:
                values[key] = value
            elif match[1] != "inputs":
                values[key] = None
            elif match[2] not in given:
                raise user_error(
                    f"The step '{name}' wants the pipeline's input '{match[2]}', which has no "
                    "value.",
                    f"jobs.{name}.inputs.{key}",
                )
            else:
                values[key] = given[match[2]]
        return values


def _in_order(jobs: Json) -> Iterator[str]:
    graph = {name: set(_needs(job)) for name, job in jobs.items()}
    if strangers := sorted(set().union(*graph.values()) - graph.keys()):
        raise user_error(f"There are no steps {strangers} to take outputs from.", "jobs")
    try:
        yield from TopologicalSorter(graph).static_order()
    except CycleError:
        raise user_error("The steps wait for each other.", "jobs") from None


def _needs(job: Json) -> Iterator[str]:
    for entry in _object(job, "inputs").values():
        text = entry.get("value", entry.get("uri")) if isinstance(entry, dict) else entry
        match = _EXPRESSION.fullmatch(str(text))
        if match and match[1] == "jobs":
            yield match[2]


def _literal(name: str, entry: object) -> str | None:
    """Return the value of an input, None for data; both casings of the contract are in use."""
    if not isinstance(entry, dict):
        raise user_error(f"The input '{name}' must be an object.", f"inputs.{name}")
    kind = str(entry.get("jobInputType") or entry.get("job_input_type") or "")
    value = entry.get("value")
    if kind.lower() == "literal":
        if value is None:
            raise user_error(f"The literal input '{name}' must have a value.", f"inputs.{name}")
        return str(value)
    if not entry.get("uri"):
        raise user_error(f"The input '{name}' must have a uri.", f"inputs.{name}")
    return None


def _with_defaults(given: Values, spec: Json, what: str) -> Values:
    _check_names(given, spec, "inputs", what)
    values = dict(given)
    for name, wanted in _object(spec, "inputs").items():
        if name in values:
            continue
        if (default := wanted.get("default")) is not None:
            values[name] = str(default)
        elif str(wanted.get("optional")).lower() != "true":
            raise user_error(f"Required input '{name}' of {what} has no value.", f"inputs.{name}")
    return values


def _check_names(given: Mapping[str, object], spec: Json, kind: str, what: str) -> None:
    if strangers := sorted(given.keys() - _object(spec, kind).keys()):
        raise user_error(f"Unknown {kind} {strangers} of {what}.", kind)


def _check_known(workspace: Workspace, kind: AssetKind, reference: str) -> AssetVersion | None:
    """Return the asset; None for one of a registry or of Microsoft's, taken on trust."""
    is_curated = kind is ENVIRONMENTS and CURATED.fullmatch(reference)
    if is_curated or REGISTRY.fullmatch(reference):
        return None
    asset = find(workspace, kind, reference)
    if asset is None:
        raise user_error(
            f"{kind.title} '{reference}' was not found in workspace '{workspace.name}'.",
            kind.segment,
        )
    return asset


def _compute(cloud: Cloud, workspace: Workspace, reference: str) -> str:
    name = find_compute(cloud, workspace, reference)
    if name is None:
        raise user_error(
            f"Compute '{reference}' was not found in workspace '{workspace.name}'.", "computeId"
        )
    return name


def _registry_name(reference: str) -> str:
    match = REGISTRY.fullmatch(reference)
    return match["name"] if match else reference


def _object(body: Json, key: str) -> Json:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise user_error(f"'{key}' must be an object.", key)
    return value
