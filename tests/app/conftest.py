"""One stage for all tests of this folder: each has models, and so endpoints, of its own."""

import os
from collections.abc import Iterator

import pytest

from sandbox.azurite import AzuriteMissing
from tests.app.stage import Stage, install_app


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The app as it is deployed, running on the sandbox."""
    running = Stage(install_app(tmp_path_factory.mktemp("installed") / "app"))
    try:
        running.__enter__()
    except AzuriteMissing:
        if os.environ.get("CI"):
            raise
        pytest.skip("Azurite is not installed: run `make setup`")
    yield running
    running.__exit__(None, None, None)
