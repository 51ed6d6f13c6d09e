"""What git and the deployed package leave out, by git's own reading of the two files."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SECRETS = [
    *(".env", ".env.local", "prod.env", "local.settings.json", "local.settings.prod.json"),
    *("id_rsa", "id_ed25519.pub", "server.pem", "shared/tls.key", "app.pfx", "handlers/a.p12"),
]
LEFT_BEHIND = [
    *("shared/__pycache__/x.pyc", ".mypy_cache/x.json", ".venv/bin/python", "node_modules/x/y.js"),
    *(
        ".coverage",
        "signalbox.egg-info/PKG-INFO",
        "dist/x.whl",
        ".pytest_cache/v/x",
        ".ruff_cache/x",
    ),
]
NOT_OF_THE_APP = [
    *("tests/unit/test_redact.py", "sandbox/tap.py", "docs/roles.md", "bench/app.py", "README.md"),
    *(
        "demo/play.py",
        "requirements-dev.txt",
        "Makefile",
        ".ci/run",
        ".git/config",
        ".github/x.yml",
    ),
]
OF_THE_APP = [
    *("function_app.py", "host.json", "reactions.yaml", "requirements.txt"),
    *("handlers/sweep.py", "shared/services.py", "golden/churn.json", "jobs/churn.yaml"),
]


@pytest.fixture
def left_out(tmp_path: Path, request: pytest.FixtureRequest) -> set[str]:
    """What a file of patterns leaves out of a folder in which nothing is tracked."""
    names = [*SECRETS, *LEFT_BEHIND, *NOT_OF_THE_APP, *OF_THE_APP, "local.settings.sample.json"]
    patterns = (ROOT / request.param).read_text(encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text(patterns, encoding="utf-8")
    asked = [name for name in names if not name.startswith(".git/")]
    found = subprocess.run(
        ["git", "-C", tmp_path, "check-ignore", "--no-index", "--stdin"],
        input="\n".join(asked),
        capture_output=True,
        text=True,
    )
    return set(found.stdout.splitlines()) | {name for name in names if name not in asked}


@pytest.mark.parametrize("left_out", [".funcignore"], indirect=True)
def test_the_package_holds_the_app_and_no_secret(left_out: set[str]) -> None:
    assert left_out.issuperset([*SECRETS, *LEFT_BEHIND, *NOT_OF_THE_APP])
    assert left_out.isdisjoint(OF_THE_APP)


@pytest.mark.parametrize("left_out", [".gitignore"], indirect=True)
def test_git_keeps_what_is_written_and_no_secret(left_out: set[str]) -> None:
    assert left_out.issuperset([*SECRETS, *LEFT_BEHIND])
    assert left_out.isdisjoint([*OF_THE_APP, "tests/unit/test_redact.py", "README.md"])
    assert "local.settings.sample.json" not in left_out


def test_nothing_that_is_tracked_is_left_out_of_git() -> None:
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == ""
