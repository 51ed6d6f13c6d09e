"""Environments: the images that jobs and deployments run in. A build only takes its time."""

import re

from sandbox.workspace.arm import ArmRoute, Json, bad_argument, conflict, not_found, object_in
from sandbox.workspace.assets import REGISTRY, AssetKind, find, routes_of
from sandbox.workspace.entities import Workspace

#: Environments of Microsoft's, which every workspace knows by this short form.
CURATED = re.compile(r"(?:azureml:)?AzureML-[\w.-]+(?:[:@]|/versions/|/labels/)[\w.-]+")


def _read(properties: Json, name: str, version: str) -> Json:
    if not any(properties.get(key) for key in ("image", "build", "condaFile")):
        raise bad_argument("An environment needs an image, a build or a condaFile.", "image")
    if build := object_in(properties, "build"):
        return properties | {"build": {"dockerfilePath": "Dockerfile"} | build}
    return properties


# azure-ai-ml tries the latest version first, and takes the next one after a conflict.
ENVIRONMENTS = AssetKind(segment="environments", title="Environment", read=_read, clash=conflict)


def check_environment(workspace: Workspace, reference: str) -> None:
    """Refuse one that the workspace does not have; a registry's and Microsoft's are trusted."""
    if CURATED.fullmatch(reference) or REGISTRY.fullmatch(reference):
        return
    if find(workspace, ENVIRONMENTS, reference) is None:
        raise not_found("Environment", reference)


#: Paths below a workspace.
routes: list[ArmRoute] = routes_of(ENVIRONMENTS)
