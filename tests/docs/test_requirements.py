"""The locked requirements are those that the .in files ask for, each file known by its hash."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PINNED = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;]+)([^\n]*(?:\n    --hash=\S+(?: \\)?)*)", re.MULTILINE
)


def pins(name: str) -> dict[str, str]:
    """Return the versions that a file of requirements names."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {re.sub(r"[._]", "-", found[1].lower()): found[2] for found in PINNED.finditer(text)}


@pytest.mark.parametrize(
    ("wanted", "made"),
    [
        ("requirements.in", "requirements.txt"),
        ("requirements.in", "requirements-dev.txt"),
        ("requirements-cli.in", "requirements-cli.txt"),
        ("requirements-cli.in", "requirements-dev.txt"),
        ("requirements-dev.in", "requirements-dev.txt"),
        ("sandbox/inference/requirements.in", "sandbox/inference/requirements.txt"),
    ],
)
def test_what_is_asked_for_is_pinned_as_it_is_asked_for(wanted: str, made: str) -> None:
    assert pins(wanted)
    assert pins(wanted).items() <= pins(made).items()


def test_the_app_is_tested_with_the_versions_that_it_is_deployed_with() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-cli.txt").items()
    assert pins("requirements-cli.txt").items() <= pins("requirements-dev.txt").items()


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "requirements-cli.txt",
        "requirements-dev.txt",
        "sandbox/inference/requirements.txt",
    ],
)
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    own_lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(own_lines) == len(list(PINNED.finditer(text)))
    assert all("--hash=sha256:" in found[3] for found in PINNED.finditer(text))
