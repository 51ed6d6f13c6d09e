"""The questions of a target that runs in AML: its component, compute, endpoint and job file."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.actions.live import LiveFault, LiveStep, Question
from shared.reactions.templates import has_expressions
from shared.retraining.targets import AML_TARGETS
from shared.workspaces.model import EndpointKind

#: The name for no cluster at all: AML finds the machines.
_SERVERLESS = "serverless"
#: The keys under which the file of a job names a resource, each with its place in addresses.
_SEGMENTS = {
    "compute": "computes",
    "default_compute": "computes",
    "environment": "environments",
    "component": "components",
}
_PREFIX = "azureml:"
#: Environments of Azure's own, which each workspace has without listing them.
_CURATED = "AzureML-"
#: Nobody names more in the file of one job.
_NAMES_MAX = 50


def target_questions(step: LiveStep) -> Iterator[Question]:
    """Yield each question about the target, for one workspace."""
    target = step.value("target")
    if not isinstance(target, Mapping):
        yield Question(path=("target",), ask=None)
        return
    if AML_TARGETS.isdisjoint(target):
        return
    yield step.may_read_runs()
    yield from step.if_given("target.component.name", lambda name: _ask_component(step, name))
    yield from step.if_given("target.component.compute", lambda name: _ask_compute(step, name))
    yield from step.if_given("target.batch_endpoint.endpoint", lambda name: _ask_batch(step, name))
    yield from _job(step, step.value("target.job.file"))


def _ask_component(step: LiveStep, name: str) -> LiveFault | None:
    version = step.value("target.component.version", "latest")
    is_any = version == "latest" or has_expressions(version)
    return _ask_version(step, "component", name, "" if is_any else str(version))


def _ask_compute(step: LiveStep, name: str) -> LiveFault | None:
    if name == _SERVERLESS:
        return None
    return step.find_absent("compute", name, "computes", name)


def _ask_batch(step: LiveStep, name: str) -> LiveFault | None:
    kind = EndpointKind.BATCH
    if step.workspaces.get_endpoint(step.workspace, name, kind=kind) is not None:
        return None
    message = f"workspace '{step.workspace.name}' has no batch endpoint '{name}'"
    return LiveFault(message=message, hint="Make it there, or name one that is.")


def _ask_version(step: LiveStep, key: str, name: str, version: str) -> LiveFault | None:
    versions = ("versions", version) if version else ()
    shown = f"{name}:{version}" if version else name
    return step.find_absent(key, shown, _SEGMENTS[key], name, *versions)


def _job(step: LiveStep, file: object) -> Iterator[Question]:
    """Yield a question for each registered resource that the file of a job names."""
    path = ("target", "job", "file")
    if not isinstance(file, str) or not file:
        if has_expressions(file):
            yield Question(path=path, ask=None)
        return
    import yaml

    try:
        document = yaml.safe_load(step.read_file(file))
    except (OSError, ValueError, yaml.YAMLError):
        return  # that is found without the workspace
    for key, written in sorted(set(_names_in(document)))[:_NAMES_MAX]:

        def ask(key: str = key, written: str = written) -> LiveFault | None:
            name, _, version = written.removesuffix("@latest").partition(":")
            if key.endswith("compute"):
                return _ask_compute(step, name)
            return _ask_version(step, key, name, version)

        yield Question(path=path, ask=ask)


def _names_in(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the key and the name of what a job's file names in the workspace."""
    if isinstance(value, list):
        for item in value:
            yield from _names_in(item)
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        if key not in _SEGMENTS or not isinstance(item, str):
            yield from _names_in(item)
        elif item.startswith(_PREFIX):
            name = item.removeprefix(_PREFIX)
            # Addresses lead to registries, and labels other than this one to any version.
            is_plain = not name.startswith(("/", _CURATED))
            if is_plain and "@" not in name.removesuffix("@latest"):
                yield key, name
