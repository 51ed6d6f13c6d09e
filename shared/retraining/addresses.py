"""Addresses of a job's data, model or code: the whole grammar of one that is not a local path.

The SDK takes a text that it does not know for a path on this machine, and uploads what it finds
there. So each form is matched from its first character to its last, and none may climb by `..`.

Source: azure-ai-ml 1.35.2, constants/_common.py and operations/_job_operations.py, for the forms
that it sends on as they are.
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
#: `azureml://datastores/…/paths/…` and its kin, of the job's own workspace or of a registry.
_SHORT = re.compile(
    rf"azureml://(?:datastores|jobs|registries|data|models|environments|components|codes)/{_SEGMENT}"
    rf"{_REST}"
)
#: The ARM id of an asset. It and the long form are matched as folded: a pattern without case would
#: take a LONG S for an s, and the SDK takes what it reads then for a path.
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
#: Storage outside AML. A name before `@` is the container's; a password has no place here.
_URL = re.compile(
    r"(?:https?|wasbs?|abfss?|adl)://(?:[a-z0-9$-]{3,63}@)?"
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::[0-9]{1,5})?(?:/[!-\[\]-~]*)?",
    re.IGNORECASE | re.ASCII,
)

FORMS = "azureml:<name>:<version>, azureml://datastores/<name>/paths/…, or the ARM id of an asset"


def is_remote(text: str) -> bool:
    """Say whether a text is an address that the SDK sends on, whatever is on this machine."""
    if len(text) > _MOST or not text.isprintable() or _climbs(text):
        return False
    if any(form.fullmatch(text) for form in (_NAMED, _SHORT, _BINDING, _URL)):
        return True
    return _in_workspace(text) is not None


def is_registered_code(text: str) -> bool:
    """Say whether a text is the ARM id of a code asset: no other form of code is not uploaded."""
    found = _ARM_ID.fullmatch(folded(text)) if is_remote(text) else None
    return found is not None and found["kind"] == "codes"


def find_fault(text: str, workspace: Workspace, hosts: Collection[str]) -> str:
    """Return why an address that comes from an event can't be a job's input; "" where it can.

    `hosts` are the patterns of hosts that the reaction allows. An address in a workspace has to be
    in this one, and the rest of the job is out of reach of an event.
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
    """Match an address that names its workspace; the parts of the match are folded."""
    plain = folded(text)
    return _LONG.fullmatch(plain) or _ARM_ID.fullmatch(plain)


def _climbs(text: str) -> bool:
    """Say whether a path has a segment that leads up, however it is spelled."""
    plain = text
    for _ in range(_LAYERS_MAX):
        plain, before = unquote(plain), plain
        if plain == before:
            break
    else:
        return True  # nobody encodes a path so often who has nothing to hide
    # FULLWIDTH FULL STOP and its kin are dots to whoever normalises.
    plain = unicodedata.normalize("NFKC", plain).replace("\\", "/")
    try:
        path = urlsplit(plain).path if "://" in plain else plain
    except ValueError:
        return True
    # What stands behind a semicolon is no part of a segment to some servers.
    segments = (segment.partition(";")[0].strip() for segment in path.split("/"))
    return any(segment and not segment.strip(".") for segment in segments)
