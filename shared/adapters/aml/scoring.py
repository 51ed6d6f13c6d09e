"""Scoring requests to one deployment."""

from datetime import timedelta
from time import perf_counter
from typing import Final

from shared.adapters.http import Http, NoAnswer, is_https
from shared.base.errors import WorkspaceRefused, WorkspaceUnreachable
from shared.base.outside import read_whole
from shared.workspaces.model import Score

_MODEL_STATUS = "ms-azureml-model-error-statuscode"


class ScoringClient:
    """Sends scoring requests, safe to share between threads."""

    def __init__(self, http: Http) -> None:
        self._http: Final = http

    def send(
        self, url: str, deployment: str, secret: str, body: bytes, *, timeout: timedelta
    ) -> Score:
        """Send one request and return whatever the endpoint answers, or the beginning of it.

        `secret` is a key or a token of the endpoint. Raises: WorkspaceUnreachable where no answer
        came in time, and WorkspaceRefused where the address is not safe to send a secret to.
        """
        if not is_https(url):
            raise WorkspaceRefused("the endpoint's scoring address is not an https:// address")
        headers = {
            "Authorization": f"Bearer {secret}",
            "Content-Type": "application/json",
            "azureml-model-deployment": deployment,
        }
        started = perf_counter()
        try:
            reply = self._http.send(
                "POST", url, headers=headers, content=body, seconds=timeout.total_seconds()
            )
        except NoAnswer as error:
            raise WorkspaceUnreachable(
                f"scoring with deployment {deployment!r}: no answer ({error})"
            ) from None
        return Score(
            status=reply.status,
            model_status=read_whole(reply.headers.get(_MODEL_STATUS, ""), most=999) or 0,
            body=reply.body,
            seconds=perf_counter() - started,
        )
