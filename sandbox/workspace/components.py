"""Components: those that the steps of pipelines run, and whole pipelines that are run by name."""

from sandbox.workspace.arm import ArmRoute, Json, bad_argument, object_in
from sandbox.workspace.assets import AssetKind, routes_of

TYPES = {"command", "pipeline", "sweep", "spark", "parallel"}


def _read(properties: Json, name: str, version: str) -> Json:
    spec = object_in(properties, "componentSpec")
    if spec.get("type") not in TYPES:
        raise bad_argument(
            f"The type of a component must be one of {sorted(TYPES)}, not '{spec.get('type')}'.",
            "componentSpec",
        )
    for key in ("inputs", "outputs"):
        object_in(spec, key)
    if spec["type"] == "pipeline" and not object_in(spec, "jobs"):
        raise bad_argument("A pipeline component must have jobs.", "componentSpec.jobs")
    if spec["type"] == "command" and not spec.get("command"):
        raise bad_argument("A command component must have a command.", "componentSpec.command")
    return properties | {"componentSpec": {"name": name, "version": version} | spec}


COMPONENTS = AssetKind(
    # azure-ai-ml asks for this version by default.
    segment="components",
    title="Component",
    read=_read,
    default="azureml_default",
)

#: Paths below a workspace.
routes: list[ArmRoute] = routes_of(COMPONENTS)
