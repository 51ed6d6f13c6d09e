"""The data plane: who answers a scoring request, what, and what the caller sees of a failure."""

import asyncio
import hashlib
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import ArmError, Json
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Deployment, Endpoint, ModelVersion
from sandbox.workspace.identity import MACHINE_LEARNING_AUDIENCE, check_token
from sandbox.workspace.online_endpoints import token_audience
from sandbox.workspace.rules import Scoring
from sandbox.workspace.traffic import choose, choose_mirror

_DEPLOYMENT_HEADER = "azureml-model-deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a deployment made of a request."""

    status: int
    body: Any
    model_status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)


async def score(request: Request) -> Response:
    """Answer one scoring request."""
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
    body = await request.body()
    mirror = None if named else choose_mirror(endpoint, cloud.random)
    if mirror is not None:
        cloud.spawn(_answer(cloud, mirror, body, is_mirrored=True))
    answer = await _answer(cloud, deployment, body, is_mirrored=False)
    headers |= {_DEPLOYMENT_HEADER: deployment.name} | answer.headers
    return JSONResponse(answer.body, answer.status, headers=headers)


async def describe(request: Request) -> Response:
    """Return the OpenAPI document of an endpoint."""
    host = request.path_params["host"]
    operation = {"requestBody": {"content": {"application/json": {}}}, "responses": {"200": {}}}
    return JSONResponse(
        {
            "openapi": "3.0.0",
            "info": {"title": host, "version": "1"},
            "paths": {f"/inference/{host}/score": {"post": operation}},
        }
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


async def _answer(cloud: Cloud, deployment: Deployment, body: bytes, is_mirrored: bool) -> Answer:
    started = time.perf_counter()
    answer = await _run(cloud, deployment, body)
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


async def _run(cloud: Cloud, deployment: Deployment, body: bytes) -> Answer:
    serving = deployment.serving
    if serving is None or not deployment.is_ready:
        message = f"Deployment {deployment.name} is not ready."
        return Answer(status=503, body={"message": message}, model_status=None)
    rule = cloud.rules.take(Scoring, deployment.subject())
    if rule is None:
        return _predict(serving.model, body)
    if rule.latency:
        jitter = cloud.random.lognormvariate(0, rule.spread) if rule.spread else 1
        await asyncio.sleep(rule.latency * jitter)
    if cloud.random.random() < rule.error_rate:
        if rule.status is None:
            return _model_failure(rule.model_status, rule.reason)
        return Answer(status=rule.status, body={"message": rule.reason}, model_status=None)
    if rule.output is not None:
        return Answer(status=200, body=rule.output)
    return _predict(serving.model, body)


def _predict(model: ModelVersion | None, body: bytes) -> Answer:
    """Answer as a model would: one number per row, always the same for the same version."""
    try:
        rows = _rows(json.loads(body), is_strict=model is not None and model.type == "mlflow_model")
    except ValueError as problem:
        return _model_failure(400, str(problem))
    name = f"{model.name}:{model.version}" if model else ""
    return Answer(status=200, body=[_prediction(name, row) for row in rows])


def _rows(content: Any, is_strict: bool) -> list[Any]:
    if not is_strict:
        return content if isinstance(content, list) else [content]
    data = content.get("input_data") if isinstance(content, dict) else None
    if isinstance(data, dict):
        data = data.get("data")
    if not isinstance(data, list) or not data:
        raise ValueError("input_data is missing or empty")
    return data


def _prediction(model: str, row: Any) -> float:
    digest = hashlib.sha256(f"{model}{json.dumps(row, sort_keys=True)}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def _model_failure(status: int, reason: str) -> Answer:
    body: Json = {"error": {"code": status, "message": reason}}
    headers = {
        "ms-azureml-model-error-statuscode": str(status),
        "ms-azureml-model-error-reason": reason,
    }
    return Answer(status=424, body=body, model_status=status, headers=headers)


routes = [
    Route("/inference/{host}/score", score, methods=["POST"]),
    Route("/inference/{host}/swagger.json", describe, methods=["GET"]),
]
