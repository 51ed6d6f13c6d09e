"""Fixtures of all tests: no setting of the machine's reaches the app."""

import logging
import os
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.searching import IS_REPEATABLE, examples

# How fast this machine is today is no property of the code. In CI every run is the same run;
# elsewhere each looks somewhere new.
settings.register_profile(
    "tests",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=IS_REPEATABLE,
)
settings.load_profile("tests")

_OURS = ("SIGNALBOX_", "AzureWebJobs", "AZURE_", "IDENTITY_", "OTEL_", "PYTHON_APPLICATIONINSIGHTS")


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
    for name in kept:
        del os.environ[name]
    yield
    os.environ.update(kept)


@pytest.fixture(autouse=True)
def _no_quieter_log_afterwards() -> Iterator[None]:
    """Fail a test that leaves our loggers at a level: what others look for would not be there."""
    yield
    for name in ("shared", "handlers", "commands", "sandbox", "demo"):
        assert logging.getLogger(name).level == logging.NOTSET, name


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let a report of a test with half a character in its log be sent to the main process."""
    return _sendable((yield))


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_sendable, value))
    return value
