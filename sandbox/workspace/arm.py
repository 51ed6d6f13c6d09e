"""The common parts of Azure Resource Manager resources: errors, ids, bodies, tags and paging."""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

type Json = dict[str, Any]
type Handler = Callable[[Request], Awaitable[Response]]
#: A method, a path (in any case) and its handler.
type ArmRoute = tuple[str, str, Handler]

PROVIDER = "Microsoft.MachineLearningServices"


class ArmError(Exception):
    """A refusal, as Resource Manager words it."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        target: str | None = None,
        details: Sequence[Json] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {
            "error": {
                "code": code,
                "message": message,
                "target": target,
                "details": list(details),
            }
        }
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the HTTP response that carries this error."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def bad_argument(message: str, target: str | None = None) -> ArmError:
    """Build the refusal of a request whose content is wrong."""
    return ArmError(400, "BadArgument", message, target=target)


def user_error(message: str, target: str | None = None) -> ArmError:
    """Build the refusal of a job that is wrong, as the service labels it."""
    return ArmError(400, "UserError", message, target=target)


def not_found(kind: str, name: str) -> ArmError:
    """Build the answer to a look-up of something that is not there."""
    return ArmError(404, "ResourceNotFound", f"{kind} '{name}' was not found.", target=name)


def not_emulated(what: str, target: str | None = None) -> ArmError:
    """Build the answer to a request that Azure would do and the emulator cannot.

    It is not a 404, which clients report as something missing in the workspace. No client repeats a
    request after a 501.
    """
    message = f"{what} not emulated here; sandbox/workspace/README.md lists what is."
    return ArmError(501, "NotEmulated", message, target=target)


def conflict(message: str, target: str | None = None) -> ArmError:
    """Build the refusal of a write that another operation stands in the way of."""
    return ArmError(409, "Conflict", message, target=target)


def refused_by_inferencing(action: str, field: str, message: str) -> ArmError:
    """Build the refusal of the inferencing service behind the management front end."""
    problem = {
        "errors": {field: [message]},
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "traceId": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01",
    }
    detail = {
        "code": f"InferencingClient{action}Failed",
        "message": f"InferencingClient HttpRequest error, error detail: {json.dumps(problem)}",
    }
    return ArmError(400, "BadRequest", "The request is invalid.", details=[detail])


async def json_body(request: Request) -> Json:
    """Read the request's body, which must be a JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ArmError(400, "InvalidRequestContent", "The request content was not a JSON object.")
    return body


def object_in(body: Json, key: str) -> Json:
    """Return the object under a key, empty when absent; anything else is refused."""
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_argument(f"'{key}' must be an object.", key)
    return value


def check_location(body: Json, region: str) -> None:
    """Refuse a resource with another location; the contract requires one."""
    given = str(body.get("location") or region)
    if given.replace(" ", "").lower() != region.lower():
        message = (
            f"The provided location '{given}' is not available for resource type. "
            f"List of available regions for the resource type is '{region}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", message, target="location")


def tags_in(body: Json) -> dict[str, str]:
    """Return the tags of a body: a map of strings to strings."""
    tags = object_in(body, "tags")
    for key, value in tags.items():
        if not isinstance(value, str):
            raise bad_argument(f"The value of tag '{key}' must be a string.", "tags")
    return dict(tags)


def timestamp(moment: datetime) -> str:
    """Write a moment as the service does, with seven digits and an offset."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0+00:00"


def system_data(created: datetime, modified: datetime, who: str) -> Json:
    """Return the systemData block of a resource."""
    return {
        "createdAt": timestamp(created),
        "createdBy": who,
        "createdByType": "Application",
        "lastModifiedAt": timestamp(modified),
        "lastModifiedBy": who,
        "lastModifiedByType": "Application",
    }


def page(
    request: Request, base: str, items: Sequence[Json], *, size: int = 100, top: str = "$top"
) -> Json:
    """Return one page of items, with the absolute link to the next when there is more."""
    query = request.query_params
    try:
        skip = int(query.get("$skip") or 0)
        wanted = int(query[top]) if top in query else None
    except ValueError:
        raise bad_argument(f"'$skip' and '{top}' must be whole numbers.") from None
    if skip < 0 or (wanted is not None and wanted < 1):
        raise bad_argument(f"'$skip' and '{top}' must be positive.")
    count = min(size, wanted or size)
    answer: Json = {"value": list(items[skip : skip + count])}
    left = None if wanted is None else wanted - count
    if skip + count < len(items) and left != 0:
        changes: dict[str, Any] = {"$skip": skip + count} | ({} if left is None else {top: left})
        url = request.url.include_query_params(**changes)
        answer["nextLink"] = f"{base}{url.path}?{url.query}"
    return answer


def has_tags(wanted: str | None, tags: Mapping[str, str]) -> bool:
    """Say whether tags satisfy a filter such as `stage,owner=me`."""
    for part in filter(None, (wanted or "").split(",")):
        key, equals, value = part.partition("=")
        if key not in tags or (equals and tags[key] != value):
            return False
    return True
