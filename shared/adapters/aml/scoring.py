"""Scoring requests to one deployment, and the keys of endpoints that they need."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

from shared.adapters.aml.arm import path_of
from shared.adapters.aml.connection import Aml
from shared.adapters.client import Client
from shared.base.errors import WorkspaceRefused
from shared.base.incoming import read_whole
from shared.events.model import Workspace
from shared.workspaces.model import Endpoint, EndpointKind, Score

_MODEL_STATUS = "ms-azureml-model-error-statuscode"
#: How long an endpoint's key is kept; a rotated one is noticed before, by a 401.
_SECRET_LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Secret:
    text: str = field(repr=False)
    good_until: datetime


class ArmScoring:
    """Scores with the deployments of online endpoints, safe to share between threads."""

    def __init__(self, aml: Aml) -> None:
        self._aml: Final = aml
        self._secrets: dict[str, _Secret] = {}

    def score(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        deployment: str,
        body: bytes,
        *,
        timeout: timedelta,
    ) -> Score:
        """Send one scoring request straight to the deployment and return the answer."""
        if endpoint.kind is EndpointKind.BATCH:
            # The same request would start a job there.
            raise WorkspaceRefused(f"batch endpoint {endpoint.name!r} answers no scoring requests")
        path = path_of(workspace, "onlineEndpoints", endpoint.name)

        def send() -> Score:
            secret = self._secret(path, endpoint)
            url, client = endpoint.scoring_uri, self._aml.data
            return send_score(client, url, deployment, secret, body, timeout=timeout)

        is_known = path in self._secrets
        score = send()
        if score.status == 401 and is_known:
            # The key that was kept may have been renewed.
            self._secrets.pop(path, None)
            score = send()
        return score

    def _secret(self, path: str, endpoint: Endpoint) -> str:
        if endpoint.auth_mode.lower() == "aadtoken":
            return self._aml.token("signing in to call an endpoint")
        now = self._aml.clock.now()
        kept = self._secrets.get(path)
        if kept is None or kept.good_until <= now:
            kept = _Secret(self._read_secret(path, endpoint), now + _SECRET_LIFETIME)
            self._secrets[path] = kept
        return kept.text

    def _read_secret(self, path: str, endpoint: Endpoint) -> str:
        doing = f"reading the key of endpoint {endpoint.name!r}"
        is_key = endpoint.auth_mode.lower() == "key"
        call, name = ("listKeys", "primaryKey") if is_key else ("token", "accessToken")
        secret = self._aml.arm.call("POST", f"{path}/{call}", doing).body.get(name)
        if not isinstance(secret, str) or not secret:
            raise WorkspaceRefused(f"{doing}: the answer has none")
        return secret


def send_score(
    client: Client, url: str, deployment: str, secret: str, body: bytes, *, timeout: timedelta
) -> Score:
    """Send one request and return any answer of the endpoint, or the beginning of it.

    `secret` is a key or a token of the endpoint. Raises: WorkspaceUnreachable where no answer
    came in time, and WorkspaceRefused where the address is not safe to send a secret to.
    """
    headers = {
        "Authorization": f"Bearer {secret}",
        "Content-Type": "application/json",
        "azureml-model-deployment": deployment,
    }
    doing = f"scoring with deployment {deployment!r}"
    started = perf_counter()
    reply = client.exchange(
        "POST", url, doing, headers=headers, content=body, seconds=timeout.total_seconds()
    )
    return Score(
        status=reply.status,
        model_status=read_whole(reply.headers.get(_MODEL_STATUS, ""), most=999) or 0,
        body=reply.body,
        seconds=perf_counter() - started,
    )
