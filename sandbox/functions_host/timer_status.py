"""The status of a timer, kept while no host runs: its last run, and when it is due."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

_CONTAINER = "azure-webjobs-hosts"
_SETTING = "AzureWebJobsStorage"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimerStatus:
    """When a timer ran last, None = never, and when it is due next."""

    last: datetime | None
    next: datetime


class TimerStatuses(Protocol):
    """Keeps the status of each timer by the function's name."""

    async def read(self, function: str) -> TimerStatus | None:
        """Return the status that was written last, or None."""
        ...

    async def write(self, function: str, status: TimerStatus) -> None:
        """Keep a status."""
        ...


class NoStatuses:
    """Keeps nothing: for a host without storage of its own."""

    async def read(self, function: str) -> TimerStatus | None:
        """Return nothing."""

    async def write(self, function: str, status: TimerStatus) -> None:
        """Forget it."""


class BlobStatuses:
    """Keeps each status in a blob, where the real host has it."""

    def __init__(self, connection: str, host_id: str) -> None:
        self._connection = connection
        self._host_id = host_id

    async def read(self, function: str) -> TimerStatus | None:
        """Return the status that was written last; None without one, or without storage."""
        try:
            return await asyncio.to_thread(self._read, function)
        except AzureError as error:
            _logger.warning("the status of timer %s can't be read: %s", function, error)
            return None

    async def write(self, function: str, status: TimerStatus) -> None:
        """Keep a status; a failure is only logged."""
        try:
            await asyncio.to_thread(self._write, function, status)
        except AzureError as error:
            _logger.warning("the status of timer %s can't be kept: %s", function, error)

    def _read(self, function: str) -> TimerStatus | None:
        with self._service() as service:
            blob = service.get_blob_client(_CONTAINER, self._name(function))
            try:
                status = json.loads(blob.download_blob().readall())
            except ResourceNotFoundError:
                return None
        last = status["Last"] and datetime.fromisoformat(status["Last"])
        return TimerStatus(last, datetime.fromisoformat(status["Next"]))

    def _write(self, function: str, status: TimerStatus) -> None:
        last = status.last.isoformat() if status.last else None
        text = json.dumps({"Last": last, "Next": status.next.isoformat(), "LastUpdated": last})
        with self._service() as service:
            with suppress(ResourceExistsError):
                service.create_container(_CONTAINER)
            blob = service.get_blob_client(_CONTAINER, self._name(function))
            blob.upload_blob(text, overwrite=True)

    def _service(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self._connection, retry_total=1)

    def _name(self, function: str) -> str:
        return f"timers/{self._host_id}/Host.Functions.{function}/status"


def make_statuses(settings: Mapping[str, str], app_dir: Path) -> TimerStatuses:
    """Keep the statuses of an app in its host's storage, if its settings name one."""
    connection = settings.get(_SETTING)
    if not connection:
        return NoStatuses()
    return BlobStatuses(connection, hashlib.sha256(str(app_dir).encode()).hexdigest()[:32])
