"""Files that git and the deployed package leave out, as git and Core Tools read the two lists."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SECRETS = [
    *(".env", ".env.local", "prod.env", "local.settings.json", "local.settings.prod.json"),
    *("id_rsa", "id_ed25519.pub", "server.pem", "shared/tls.key", "app.pfx", "handlers/a.p12"),
    *("jobs/id_rsa", "golden/.env", "jobs/dev.env", "shared/adapters/ca.pem", "secrets.json"),
    *("credentials", "jobs/credentials.json", "shared/.netrc", "AuthKey.p8", "prod.tfvars"),
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
    *(
        "tests/unit/test_redact.py",
        "sandbox/tap.py",
        "docs/reference/roles.md",
        "bench/app.py",
        "README.md",
    ),
    *("manage.py", "commands/check.py", "shared/twins/storage.py", "requirements-cli.txt"),
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


def left_out_by_git(file: str, names: list[str], folder: Path) -> set[str]:
    """Return what git leaves out of these files by a file of patterns, where nothing is tracked."""
    patterns = (ROOT / file).read_text(encoding="utf-8")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (folder / ".gitignore").write_text(patterns, encoding="utf-8")
    asked = [name for name in names if not name.startswith(".git/")]
    found = subprocess.run(
        ["git", "-C", folder, "check-ignore", "--no-index", "--stdin"],
        input="\n".join(asked),
        capture_output=True,
        text=True,
    )
    return set(found.stdout.splitlines()) | {name for name in names if name not in asked}


@pytest.fixture
def left_out(tmp_path: Path, request: pytest.FixtureRequest) -> set[str]:
    """Return the names that a file of patterns leaves out."""
    names = [*SECRETS, *LEFT_BEHIND, *NOT_OF_THE_APP, *OF_THE_APP, "local.settings.sample.json"]
    return left_out_by_git(request.param, names, tmp_path)


@pytest.mark.parametrize("left_out", [".funcignore"], indirect=True)
def test_the_package_holds_the_app_and_no_secret(left_out: set[str]) -> None:
    assert left_out.issuperset([*SECRETS, *LEFT_BEHIND, *NOT_OF_THE_APP])
    assert left_out.isdisjoint(OF_THE_APP)


def left_out_by_core_tools(names: list[str], end: str) -> set[str]:
    """Return what `func azure functionapp publish` leaves out of these files.

    Each pattern is matched at the beginning of a path, and not up to its end: that is `end`, which
    older versions have not. A pattern that begins with `!` wins, wherever it stands. Source:
    Azure/azure-functions-core-tools, GitIgnoreParser.cs.
    """
    lines = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    def matches(name: str, mark: str) -> bool:
        return any(
            re.match(
                re.escape(pattern.removeprefix(mark)).replace(r"\*\*", ".+").replace(r"\*", "[^/]+")
                + end,
                name,
                re.ASCII,
            )
            for pattern in patterns
            if pattern.startswith("!") == (mark == "!")
        )

    return {name for name in names if matches(name, "") and not matches(name, "!")}


@pytest.mark.parametrize("end", ["", r"\b"])
def test_the_package_that_core_tools_make_holds_the_app_and_no_secret(end: str) -> None:
    wanted = {*SECRETS, *LEFT_BEHIND, *NOT_OF_THE_APP}
    assert left_out_by_core_tools([*wanted, *OF_THE_APP], end) == wanted


@pytest.mark.parametrize("end", ["", r"\b"])
def test_core_tools_and_git_agree_on_every_file_that_is_tracked(end: str, tmp_path: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    by_git = left_out_by_git(".funcignore", tracked, tmp_path)
    assert left_out_by_core_tools(tracked, end) == by_git


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


def test_git_keeps_every_module_that_is_on_this_machine(tmp_path: Path) -> None:
    """Checks pass where a module was written, and fail in every clone that lacks it."""
    folders = ("shared", "handlers", "commands", "demo", "sandbox", "bench", "tests")
    modules = [
        str(file.relative_to(ROOT))
        for folder in folders
        for file in (ROOT / folder).rglob("*.py")
        if "node_modules" not in file.parts
    ]
    assert left_out_by_git(".gitignore", modules, tmp_path) == set()
