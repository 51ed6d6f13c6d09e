"""The data plane: routes scoring requests to deployments, and answers in the front's way."""

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from isodate import parse_duration
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.workspace import containers
from sandbox.workspace.arm import ArmError
from sandbox.workspace.artifacts import inputs_of
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Deployment, Endpoint
from sandbox.workspace.identity import MACHINE_LEARNING_AUDIENCE, check_token
from sandbox.workspace.online_endpoints import token_audience
from sandbox.workspace.rules import Scoring
from sandbox.workspace.traffic import choose, choose_mirror

_DEPLOYMENT_HEADER = "azureml-model-deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A deployment's answer to a request."""

    status: int
    body: Any
    model_status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)


async def score(request: Request) -> Response:
    """Answer one request to an endpoint: its front's own requests here, others in a container."""
    cloud = cloud_of(request)
    cloud.operations.settle()
    endpoint = cloud.endpoint_at(request.path_params["host"])
    headers = {"x-ms-request-id": str(uuid.uuid4())}
    if endpoint is None or endpoint.state == "Creating":
        return JSONResponse({"message": "No such endpoint."}, 404, headers=headers)
    if not _is_authorized(endpoint, request.headers.get("authorization")):
        return JSONResponse({"message": "Unauthorized."}, 401, headers=headers)
    named = request.headers.get(_DEPLOYMENT_HEADER)
    deployment = (
        endpoint.deployments.get(named.lower()) if named else choose(endpoint, cloud.random)
    )
    if deployment is None:
        message = "There is no valid deployment with positive weight to route to."
        return JSONResponse({"message": message}, 404, headers=headers)
    asked = await _asked(request)
    mirror = None if named else choose_mirror(endpoint, cloud.random)
    if mirror is not None:
        cloud.spawn(_answer(cloud, mirror, asked, is_mirrored=True))
    answer = await _answer(cloud, deployment, asked, is_mirrored=False)
    headers |= {_DEPLOYMENT_HEADER: deployment.name} | answer.headers
    if isinstance(answer.body, str):
        return PlainTextResponse(answer.body, answer.status, headers=headers)
    return JSONResponse(answer.body, answer.status, headers=headers)


async def _asked(request: Request) -> containers.Request:
    return containers.Request(
        method=request.method,
        path=request.path_params["path"],
        content_type=request.headers.get("content-type", ""),
        query=dict(request.query_params),
        body=await request.body(),
    )


def _is_authorized(endpoint: Endpoint, authorization: str | None) -> bool:
    if endpoint.auth_mode == "Key":
        given = (authorization or "").removeprefix("Bearer ").encode()
        return any(secrets.compare_digest(given, key.encode()) for key in endpoint.keys.values())
    is_own = endpoint.auth_mode == "AMLToken"
    audience = token_audience(endpoint) if is_own else MACHINE_LEARNING_AUDIENCE
    try:
        check_token(authorization, (audience,))
    except ArmError:
        return False
    return True


async def _answer(
    cloud: Cloud, deployment: Deployment, asked: containers.Request, is_mirrored: bool
) -> Answer:
    started = time.perf_counter()
    answer = await _run(cloud, deployment, asked)
    cloud.measurements.record(
        deployment.workspace,
        deployment.endpoint,
        deployment.name,
        at=cloud.metrics_now(),
        status=answer.status,
        model_status=answer.model_status,
        latency_ms=(time.perf_counter() - started) * 1000,
        is_mirrored=is_mirrored,
    )
    return answer


async def _run(cloud: Cloud, deployment: Deployment, asked: containers.Request) -> Answer:
    serving = deployment.serving
    if serving is None or not deployment.is_ready:
        message = f"Deployment {deployment.name} is not ready."
        return Answer(status=503, body={"message": message}, model_status=None)
    model = serving.model
    reply = containers.reply(asked, model, await inputs_of(cloud, deployment))
    rule = cloud.rules.take(Scoring, deployment.subject())
    if rule is None:
        return _front(reply)
    seconds = rule.latency * (cloud.random.lognormvariate(0, rule.spread) if rule.spread else 1)
    limit = parse_duration(serving.settings["requestSettings"]["requestTimeout"]).total_seconds()
    await asyncio.sleep(min(seconds, limit))
    if seconds > limit:
        message = f"The request took longer than {limit:g} seconds."
        return Answer(status=408, body={"message": message}, model_status=None)
    return _ruled(cloud, rule, reply)


def _ruled(cloud: Cloud, rule: Scoring, reply: containers.Reply) -> Answer:
    is_failure = cloud.random.random() < rule.error_rate
    if is_failure and rule.status is not None:
        return Answer(status=rule.status, body={"message": rule.reason}, model_status=None)
    if 400 <= reply.status < 500:  # the server itself refuses it; the model never hears of it
        return _front(reply)
    if is_failure:
        failed = containers.Reply(status=rule.model_status, body={"message": rule.reason})
        return _front(failed, rule.reason)
    if rule.output is not None:
        return Answer(status=200, body=rule.output)
    return _front(reply)


def _front(reply: containers.Reply, reason: str = "model_error") -> Answer:
    """Return the caller's answer: any status but 200 is the model's failure, with its body."""
    if reply.status == 200:
        return Answer(status=200, body=reply.body)
    headers = {
        "ms-azureml-model-error-statuscode": str(reply.status),
        "ms-azureml-model-error-reason": reason,
    }
    return Answer(status=424, body=reply.body, model_status=reply.status, headers=headers)


routes = [
    Route(
        "/inference/{host}/{path:path}",
        score,
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    ),
]
