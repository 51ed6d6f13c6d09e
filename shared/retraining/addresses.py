"""Addresses of a job's data, model or code: the grammar of all that are not local paths.

The SDK takes an unknown text as a path on this machine, and uploads the file there. So each form is
matched from its first character to its last, and none may have a `..` segment.

Source: azure-ai-ml 1.35.2, constants/_common.py and operations/_job_operations.py, for the forms
that it sends unchanged.
"""

import re
import unicodedata
from collections.abc import Collection
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from shared.base.ids import folded
from shared.events.model import Workspace

_MOST = 2000
_LAYERS_MAX = 4
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}"
_SEGMENT = r"[^/\\?#%\s\x00-\x1f]+"
_GROUP = rf"subscriptions/(?P<subscription>{_NAME})/resourcegroups/(?P<group>[\w.()-]{{1,90}})"
_IN_WORKSPACE = rf"workspaces/(?P<workspace>{_NAME})"
_ASSET = r"/(?P<kind>data|models|environments|components|codes|datasets|datastores)"
_REST = rf"(?:/{_SEGMENT})*/?"
#: A registered asset, by name: `azureml:churn-data:3`, `azureml:churn-data@latest`.
_NAMED = re.compile(rf"(?:azureml:)?{_NAME}[:@]{_NAME}")
#: `azureml://datastores/…/paths/…` and similar forms, of the job's workspace or of a registry.
_SHORT = re.compile(
    rf"azureml://(?:datastores|jobs|registries|data|models|environments|components|codes)/{_SEGMENT}"
    rf"{_REST}"
)
#: The ARM id of an asset. It and the long form are matched after case folding: a pattern that
#: ignores case would match a LONG S as an s, and the SDK would read that text as a path.
_ARM_ID = re.compile(
    rf"(?:azureml:)?/{_GROUP}/providers/microsoft\.machinelearningservices/{_IN_WORKSPACE}"
    rf"{_ASSET}/{_SEGMENT}{_REST}"
)
#: The long form of an address in a workspace.
_LONG = re.compile(
    rf"azureml://{_GROUP}/(?:providers/microsoft\.machinelearningservices/)?{_IN_WORKSPACE}"
    rf"{_ASSET}/{_SEGMENT}{_REST}"
)
#: Another part of the same job.
_BINDING = re.compile(r"\$\{\{\s*[A-Za-z_]\w*(?:\.[A-Za-z_][\w-]*)+\s*\}\}")
#: Storage outside AML. A name before `@` is the container's; passwords are not accepted.
_URL = re.compile(
    r"(?:https?|wasbs?|abfss?|adl)://(?:[a-z0-9$-]{3,63}@)?"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::[0-9]{1,5})?(?:/[!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)

FORMS = "azureml:<name>:<version>, azureml://datastores/<name>/paths/…, or the ARM id of an asset"


def is_remote(text: str) -> bool:
    """Say whether a text is an address that the SDK sends unchanged, not a file on this machine."""
    if len(text) > _MOST or not text.isprintable() or _climbs(text):
        return False
    if any(form.fullmatch(text) for form in (_NAMED, _SHORT, _BINDING, _URL)):
        return True
    return _in_workspace(text) is not None


def is_registered_code(text: str) -> bool:
    """Say whether a text is the ARM id of a code asset: code in any other form is uploaded."""
    found = _ARM_ID.fullmatch(folded(text)) if is_remote(text) else None
    return found is not None and found["kind"] == "codes"


def find_fault(text: str, workspace: Workspace, hosts: Collection[str]) -> str:
    """Return why an address from an event can't be a job's input; "" if it can.

    `hosts` are the patterns of hosts that the reaction allows. An address in a workspace must be in
    this one. An event can't set other parts of the job.
    """
    if not is_remote(text) or _BINDING.fullmatch(text):
        return f"it is no address: give {FORMS}"
    if found := _in_workspace(text):
        named = (found["subscription"], found["group"], found["workspace"])
        own = (workspace.subscription, workspace.resource_group, workspace.name)
        if list(named) != [folded(part) for part in own]:
            return "it is in another workspace"
    elif found := _URL.fullmatch(text):
        host = found["host"].lower()
        if not any(fnmatchcase(host, pattern.lower()) for pattern in hosts):
            return f"`allow.hosts` does not list {host}"
    return ""


def _in_workspace(text: str) -> re.Match[str] | None:
    """Match an address that names its workspace; the groups of the match are case-folded."""
    plain = folded(text)
    return _LONG.fullmatch(plain) or _ARM_ID.fullmatch(plain)


def _climbs(text: str) -> bool:
    """Say whether a path has a segment that leads up, in any encoding."""
    plain = text
    for _ in range(_LAYERS_MAX):
        plain, before = unquote(plain), plain
        if plain == before:
            break
    else:
        return True  # a path that is encoded so often hides something
    # A server that normalises text reads FULLWIDTH FULL STOP and similar ones as dots.
    plain = unicodedata.normalize("NFKC", plain).replace("\\", "/")
    try:
        path = urlsplit(plain).path if "://" in plain else plain
    except ValueError:
        return True
    # Some servers ignore the part of a segment after a semicolon.
    segments = (segment.partition(";")[0].strip() for segment in path.split("/"))
    return any(segment and not segment.strip(".") for segment in segments)
