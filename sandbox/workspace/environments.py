"""Environments: the images that jobs run in. They are kept, and never built."""

from sandbox.workspace.arm import ArmRoute, Json, bad_argument, conflict, object_in
from sandbox.workspace.assets import AssetKind, routes_of


def _read(properties: Json, name: str, version: str) -> Json:
    if not any(properties.get(key) for key in ("image", "build", "condaFile")):
        raise bad_argument("An environment needs an image, a build or a condaFile.", "image")
    if build := object_in(properties, "build"):
        return properties | {"build": {"dockerfilePath": "Dockerfile"} | build}
    return properties


# azure-ai-ml tries the latest version first, and takes the next one after a conflict.
ENVIRONMENTS = AssetKind(segment="environments", title="Environment", read=_read, clash=conflict)

#: Paths below a workspace.
routes: list[ArmRoute] = routes_of(ENVIRONMENTS)
