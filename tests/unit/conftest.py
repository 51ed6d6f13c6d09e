"""A storage account, and the app's services on it, for the tests of commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.azurite import Azurite
from shared.services import Services
from tests.stories.world import REACTIONS


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


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of the stories, which the commands read in place of the app's."""
    path = tmp_path / "rules.yaml"
    path.write_text(REACTIONS)
    monkeypatch.setenv("SIGNALBOX_REACTIONS", str(path))
