"""Access tokens: how a managed identity gets one, and how the services check it."""

import base64
import binascii
import json
import secrets
import time
import uuid

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import ArmError, Json

LIFETIME_SECONDS = 24 * 3600

MACHINE_LEARNING_AUDIENCE = "https://ml.azure.com"
ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")

_IDENTITIES = uuid.UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")


def issue_token(resource: str, tenant: str, client: str, lifetime: int = LIFETIME_SECONDS) -> str:
    """Return an unsigned JWT for a resource, which its checker can decode."""
    now = int(time.time())
    claims = {
        "aud": resource,
        "iss": f"https://sts.windows.net/{tenant}/",
        "tid": tenant,
        "appid": client,
        "oid": str(uuid.uuid5(_IDENTITIES, client)),
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
    }
    return f"{_segment({'alg': 'none', 'typ': 'JWT'})}.{_segment(claims)}.{_encode(b'unsigned')}"


def check_token(authorization: str | None, audiences: tuple[str, ...]) -> Json:
    """Return the claims of a bearer token; raises 401 when it does not open the door."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
    claims = _decode(token)
    if str(claims.get("aud")).rstrip("/") not in audiences:
        raise _unauthorized(
            "InvalidAuthenticationTokenAudience",
            "The access token has been obtained for wrong audience or resource "
            f"'{claims.get('aud')}'. It should exactly match with one of the allowed audiences "
            f"'{', '.join(audiences)}'.",
        )
    if not isinstance(claims.get("exp"), int) or claims["exp"] <= time.time():
        raise _unauthorized("ExpiredAuthenticationToken", "The access token has expired.")
    return claims


async def managed_identity_token(request: Request) -> Response:
    """Answer the App Service managed identity protocol, version 2019-08-01."""
    settings = request.app.state.cloud.settings
    query = request.query_params
    given = request.headers.get("x-identity-header", "")
    if not secrets.compare_digest(given.encode(), settings.identity_header.encode()):
        return JSONResponse({"statusCode": 401, "message": "X-IDENTITY-HEADER is wrong."}, 401)
    resource = query.get("resource")
    if query.get("api-version") != "2019-08-01" or not resource:
        message = "api-version=2019-08-01 and resource are required."
        return JSONResponse({"statusCode": 400, "message": message}, 400)
    client = query.get("client_id") or query.get("mi_res_id") or str(_IDENTITIES)
    return JSONResponse(
        {
            "access_token": issue_token(resource, settings.tenant, client),
            "client_id": client,
            "expires_on": str(int(time.time()) + LIFETIME_SECONDS),
            "resource": resource,
            "token_type": "Bearer",
        }
    )


def _unauthorized(code: str, message: str) -> ArmError:
    challenge = f'Bearer error="invalid_token", error_description="{code}"'
    return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})


def _segment(content: Json) -> str:
    return _encode(json.dumps(content).encode())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(token: str) -> Json:
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error):
        claims = None
    if not isinstance(claims, dict):
        raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
    return claims
