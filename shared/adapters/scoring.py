"""Scoring requests to one deployment, sent by our own HTTP client."""

import ssl
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from shared.adapters.arm import CONNECT_TIMEOUT
from shared.adapters.lazy import Lazy
from shared.errors import WorkspaceRefused, WorkspaceUnreachable
from shared.workspaces import Score

if TYPE_CHECKING:
    import httpx

#: No more of an answer is read.
BODY_MAX = 1024 * 1024


class ScoringClient:
    """Sends scoring requests, safe to share between threads. It follows no redirects."""

    def __init__(self, *, ca_path: str | None = None) -> None:
        """Connect on first use; `ca_path` names a PEM file of authorities in place of the usual."""
        self._ca_path: Final = ca_path
        self._client: Final = Lazy(self._make_client)

    def send(
        self, url: str, deployment: str, secret: str, body: bytes, *, timeout: timedelta
    ) -> Score:
        """Send one request and return whatever the endpoint answers.

        `secret` is a key or a token of the endpoint. Raises: WorkspaceUnreachable where no answer
        came in time, and WorkspaceRefused where the address is not safe to send a secret to.
        """
        import httpx

        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise WorkspaceRefused("the endpoint's scoring address is not an https:// address")
        seconds = timeout.total_seconds()
        limits = httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT))
        headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            # Not compressed: the cap below is then a cap on what is sent, too.
            "Accept-Encoding": "identity",
            "azureml-model-deployment": deployment,
        }
        started = perf_counter()
        try:
            with self._client().stream(
                "POST", url, content=body, headers=headers, timeout=limits
            ) as response:
                answer = _read(response, started + seconds)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise WorkspaceUnreachable(
                f"scoring with deployment {deployment!r}: no answer ({type(error).__name__})"
            ) from error
        model_status = response.headers.get("ms-azureml-model-error-statuscode", "")
        return Score(
            status=response.status_code,
            model_status=int(model_status) if model_status.isdecimal() else 0,
            body=answer,
            seconds=perf_counter() - started,
        )

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        if client := self._client.made:
            client.close()

    def _make_client(self) -> "httpx.Client":
        import httpx

        if self._ca_path is None:
            return httpx.Client(follow_redirects=False)
        context = ssl.create_default_context(cafile=self._ca_path)
        return httpx.Client(follow_redirects=False, verify=context)


def _read(response: "httpx.Response", deadline: float) -> bytes:
    """Return the body up to BODY_MAX; each piece may be in time and the whole still too late."""
    import httpx

    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) >= BODY_MAX:
            break
        if perf_counter() > deadline:
            raise httpx.ReadTimeout("the answer took too long", request=response.request)
    return bytes(body[:BODY_MAX])
