"""The storage that the workspace emulator writes to by itself."""

import asyncio

import pytest

from sandbox.workspace.arm import ArmError
from sandbox.workspace.storage import Storage


def test_a_background_write_that_failed_fails_the_next_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise ArmError(503, "ServerBusy", "Azurite does not answer")

    async def lose_a_write() -> None:
        storage = Storage(None)
        monkeypatch.setattr(storage, "write", fail)
        storage.write_soon("files", {"model/MLmodel": b"flavors: {}"})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ArmError, match="Azurite does not answer"):
            await storage.read("files", "model/MLmodel")
        await storage.close()

    asyncio.run(lose_a_write())
