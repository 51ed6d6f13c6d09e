"""Online endpoints: their life, their traffic and their keys."""

import re
import time
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import (
    ArmError,
    ArmRoute,
    Json,
    bad_argument,
    check_location,
    has_tags,
    json_body,
    object_in,
    page,
    tags_in,
)
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.computes import find_kubernetes
from sandbox.workspace.entities import Endpoint, Workspace
from sandbox.workspace.identity import LIFETIME_SECONDS, issue_token
from sandbox.workspace.operations import Operation
from sandbox.workspace.policies import check_endpoint
from sandbox.workspace.rules import Subject
from sandbox.workspace.traffic import NO_TRAFFIC, Split, parse_split

_NAME = re.compile(r"(?=.{3,32}$)[a-zA-Z](?:-?[a-zA-Z0-9])*")
_PRINCIPALS = uuid.UUID("5d1c7a60-0000-4000-8000-000000000000")
_AUTH_MODES = {mode.lower(): mode for mode in ("Key", "AMLToken", "AADToken")}
_IDENTITY_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[^/]+",
    re.IGNORECASE,
)
_ORDERS = {
    "createdatasc": ("created_at", False),
    "createdatdesc": ("created_at", True),
    "updatedatasc": ("modified_at", False),
    "updatedatdesc": ("modified_at", True),
}


def check_name(name: str, kind: str) -> None:
    """Refuse a name that the service does not allow for an endpoint or deployment."""
    if not _NAME.fullmatch(name):
        raise bad_argument(
            f"The {kind} name '{name}' is invalid: 3 to 32 characters, a letter first, then "
            "letters, digits and single dashes, a letter or digit last.",
            "name",
        )


def token_audience(endpoint: Endpoint) -> str:
    """Return the audience of an endpoint's own tokens."""
    return f"https://{endpoint.host}.inference.ml.azure.com"


async def list_endpoints(request: Request) -> Response:
    """List the endpoints of a workspace."""
    cloud = cloud_of(request)
    query = request.query_params
    order = query.get("orderBy", "CreatedAtDesc").lower()
    if order not in _ORDERS:
        raise bad_argument(f"Endpoints cannot be ordered by '{query['orderBy']}'.", "orderBy")
    key, is_reversed = _ORDERS[order]
    endpoints = sorted(
        cloud.workspace(request).endpoints.values(),
        key=lambda e: getattr(e, key),
        reverse=is_reversed,
    )
    items = [
        cloud.document(endpoint)
        for endpoint in endpoints
        if has_tags(query.get("tags"), endpoint.tags)
        and has_tags(query.get("properties"), endpoint.properties)
        and query.get("computeType", endpoint.kind).lower() == endpoint.kind.lower()
        and query.get("name", endpoint.name).lower() == endpoint.name.lower()
    ]
    return JSONResponse(page(request, cloud.url, items, top="count"))


async def get_endpoint(request: Request) -> Response:
    """Return one endpoint."""
    cloud = cloud_of(request)
    return JSONResponse(cloud.document(cloud.endpoint(request)))


async def put_endpoint(request: Request) -> Response:
    """Create or replace an endpoint, traffic included."""
    body = await json_body(request)
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    check_location(body, workspace.location)
    subject = Subject(workspace=workspace.name, endpoint=request.path_params["endpoint"])
    check_endpoint(cloud, subject, body)
    existing = workspace.endpoints.get(request.path_params["endpoint"].lower())
    if existing is None:
        endpoint = _new_endpoint(cloud, request, body)
        workspace.endpoints[endpoint.entity] = endpoint
        split = NO_TRAFFIC
    else:
        endpoint = existing
        split = _replace(cloud, endpoint, body)

    def finish(operation: Operation) -> None:
        endpoint.state = operation.outcome
        if operation.outcome == "Succeeded":
            endpoint.traffic, endpoint.mirror = split.traffic, split.mirror

    kind = "endpoint_update" if existing else "endpoint_create"
    headers = cloud.begin(request, kind, endpoint, finish, lambda: cloud.document(endpoint))
    del headers["Location"]
    return JSONResponse(cloud.document(endpoint), 200 if existing else 201, headers=headers)


async def patch_endpoint(request: Request) -> Response:
    """Change the tags or the identity of an endpoint; the contract allows nothing else here."""
    body = await json_body(request)
    cloud = cloud_of(request)
    endpoint = cloud.endpoint(request)
    if body.keys() - {"tags", "identity"}:
        raise bad_argument("Only 'tags' and 'identity' of an endpoint can be patched.")
    cloud.operations.refuse_if_busy(endpoint.workspace, *endpoint.entities())
    if "tags" in body:
        endpoint.tags = tags_in(body)
    if "identity" in body:
        endpoint.identity = _identity(cloud, body, endpoint)
    endpoint.modified_at = cloud.clock.now()
    return JSONResponse(cloud.document(endpoint))


async def delete_endpoint(request: Request) -> Response:
    """Delete an endpoint with all its deployments."""
    cloud = cloud_of(request)
    workspace = cloud.workspace(request)
    endpoint = workspace.endpoints.get(request.path_params["endpoint"].lower())
    if endpoint is None:
        return Response(status_code=204)
    cloud.operations.refuse_if_busy(workspace.name, *endpoint.entities())

    def finish(operation: Operation) -> None:
        if operation.outcome == "Succeeded":
            del workspace.endpoints[endpoint.entity]
        else:
            endpoint.state = operation.outcome

    endpoint.state = "Deleting"
    headers = cloud.begin(request, "endpoint_delete", endpoint, finish, lambda: None)
    return Response(status_code=202, headers=headers)


async def list_keys(request: Request) -> Response:
    """Return the keys of an endpoint that is called with keys."""
    endpoint = cloud_of(request).endpoint(request)
    if endpoint.auth_mode != "Key":
        raise bad_argument(f"The auth mode of '{endpoint.name}' is {endpoint.auth_mode}, not Key.")
    keys = endpoint.keys
    return JSONResponse({"primaryKey": keys["Primary"], "secondaryKey": keys["Secondary"]})


async def regenerate_keys(request: Request) -> Response:
    """Replace one key of an endpoint."""
    body = await json_body(request)
    endpoint = cloud_of(request).endpoint(request)
    which = body.get("keyType")
    if which not in endpoint.keys:
        raise bad_argument("'keyType' must be Primary or Secondary.", "keyType")
    endpoint.renew_key(which)
    if body.get("keyValue"):
        endpoint.keys[which] = str(body["keyValue"])
    return Response(status_code=200)


async def get_token(request: Request) -> Response:
    """Return a token for an endpoint that is called with tokens."""
    cloud = cloud_of(request)
    endpoint = cloud.endpoint(request)
    if endpoint.auth_mode == "Key":
        raise bad_argument(f"The auth mode of '{endpoint.name}' is Key.")
    expiry = int(time.time()) + LIFETIME_SECONDS
    audience = token_audience(endpoint)
    return JSONResponse(
        {
            "accessToken": issue_token(audience, cloud.settings.tenant, request.state.caller),
            "expiryTimeUtc": expiry,
            "refreshAfterTimeUtc": expiry - LIFETIME_SECONDS // 2,
            "tokenType": "Bearer",
        }
    )


def _new_endpoint(cloud: Cloud, request: Request, body: Json) -> Endpoint:
    name = request.path_params["endpoint"]
    check_name(name, "endpoint")
    properties = object_in(body, "properties")
    parse_split(None, properties)
    now = cloud.clock.now()
    workspace = cloud.workspace(request)
    compute = _compute(cloud, workspace, properties)
    endpoint = Endpoint(
        workspace=workspace.name,
        name=name,
        location=cloud.settings.location,
        auth_mode=_auth_mode(properties, compute),
        created_at=now,
        modified_at=now,
        created_by=request.state.caller,
        identity={},
        compute=compute,
        tags=tags_in(body),
    )
    if cloud.endpoint_at(endpoint.host):
        message = f"There is already an endpoint with this name: {name}. "
        raise ArmError(
            400, "BadRequest", f"{message}Endpoint name needs to be unique within a region."
        )
    endpoint.identity = _identity(cloud, body, endpoint)
    _describe(endpoint, properties)
    given = object_in(properties, "keys")
    for which in endpoint.keys:
        endpoint.renew_key(which)
        endpoint.keys[which] = given.get(f"{which.lower()}Key") or endpoint.keys[which]
    return endpoint


def _replace(cloud: Cloud, endpoint: Endpoint, body: Json) -> Split:
    cloud.operations.refuse_if_busy(endpoint.workspace, *endpoint.entities())
    properties = object_in(body, "properties")
    tags, auth_mode = tags_in(body), _auth_mode(properties, endpoint.compute)
    if str(properties.get("compute") or "").lower() != (endpoint.compute or "").lower():
        message = f"The compute of endpoint {endpoint.name} cannot be changed."
        raise bad_argument(message, "compute")
    split = parse_split(endpoint, properties)
    identity = _identity(cloud, body, endpoint)
    _check_identity_stays(endpoint, identity)
    endpoint.tags, endpoint.auth_mode, endpoint.identity = tags, auth_mode, identity
    _describe(endpoint, properties)
    endpoint.modified_at = cloud.clock.now()
    endpoint.state = "Updating"
    return split


def _compute(cloud: Cloud, workspace: Workspace, properties: Json) -> str | None:
    given = properties.get("compute")
    if not given:
        return None
    compute = find_kubernetes(cloud, workspace, str(given))
    if compute is None:
        raise bad_argument(f"'{given}' is no attached Kubernetes cluster.", "compute")
    return compute


def _auth_mode(properties: Json, compute: str | None) -> str:
    given = properties.get("authMode")
    mode = _AUTH_MODES.get(str(given).lower())
    if mode is None:
        raise bad_argument(f"'authMode' must be Key, AMLToken or AADToken, not {given}.")
    if compute and mode == "AADToken":
        message = "The auth mode AADToken is supported for managed online endpoints only."
        raise bad_argument(message, "authMode")
    return mode


def _identity(cloud: Cloud, body: Json, endpoint: Endpoint) -> Json:
    given = object_in(body, "identity") or {"type": "SystemAssigned"}
    assigned = object_in(given, "userAssignedIdentities")
    takes_assigned = "UserAssigned" in str(given.get("type")).replace(" ", "").split(",")
    if bool(assigned) != takes_assigned:
        message = (
            f"An identity of type '{given.get('type')}' "
            + ("needs" if takes_assigned else "takes no")
            + " 'userAssignedIdentities'."
        )
        raise bad_argument(message, "identity")
    for each in assigned:
        if not _IDENTITY_ID.fullmatch(each):
            raise bad_argument(f"'{each}' is no id of an identity.", "identity")
    identities = {each: _principal(each, "clientId", "principalId") for each in assigned}
    own = _principal(cloud.endpoint_id(endpoint), "principalId")
    identity = given | own | {"tenantId": cloud.settings.tenant}
    return identity | ({"userAssignedIdentities": identities} if identities else {})


def _check_identity_stays(endpoint: Endpoint, identity: Json) -> None:
    """Refuse another identity (how-to-access-resources-from-endpoints-managed-identities)."""

    def named(whose: Json) -> tuple[str, set[str]]:
        ids = {each.lower() for each in object_in(whose, "userAssignedIdentities")}
        return str(whose.get("type")), ids

    if named(identity) != named(endpoint.identity):
        message = f"The identity of endpoint {endpoint.name} cannot be changed."
        raise bad_argument(message, "identity")


def _principal(whose: str, *names: str) -> dict[str, str]:
    return {name: str(uuid.uuid5(_PRINCIPALS, f"{whose}/{name}".lower())) for name in names}


def _describe(endpoint: Endpoint, properties: Json) -> None:
    endpoint.description = properties.get("description")
    endpoint.properties = object_in(properties, "properties")
    endpoint.public_network_access = properties.get("publicNetworkAccess") or "Enabled"


_ENDPOINT = "/onlineEndpoints/{endpoint}"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", "/onlineEndpoints", list_endpoints),
    ("GET", _ENDPOINT, get_endpoint),
    ("PUT", _ENDPOINT, put_endpoint),
    ("PATCH", _ENDPOINT, patch_endpoint),
    ("DELETE", _ENDPOINT, delete_endpoint),
    ("POST", f"{_ENDPOINT}/listKeys", list_keys),
    ("POST", f"{_ENDPOINT}/regenerateKeys", regenerate_keys),
    ("POST", f"{_ENDPOINT}/token", get_token),
]
