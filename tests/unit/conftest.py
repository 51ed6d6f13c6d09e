"""A storage account, and the app's services on it, for the tests of commands."""

from collections.abc import Iterator

import pytest

from sandbox.azurite import Azurite
from shared.services import Services


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """A storage account of this module's own."""
    with Azurite() as azurite:
        yield azurite.connection_string


@pytest.fixture
def services(storage: str, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The app's services; the commands find the same storage in the environment."""
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    return Services({"AzureWebJobsStorage": storage})
