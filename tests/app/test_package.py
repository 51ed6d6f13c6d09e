"""The package that is deployed: it holds all that the app needs, and nothing of the laptop's."""

import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import manage
from tests.app.test_index import TRIGGERS
from tests.docs.test_what_is_left_out import left_out_by_git

ROOT = Path(__file__).parent.parent.parent
#: Indexes the app as the worker does, builds what an event needs, and tells what it has.
PROGRAM = """
import os, sys
for name in ("typer", "rich", "pytest", "commands", "sandbox", "shared.twins"):
    sys.modules[name] = None  # as where it is not installed
from azure_functions_runtime.loader import index_function_app
from azure_functions_runtime.bindings.meta import load_binding_registry
load_binding_registry()
print(*sorted(found.get_function_name() for found in index_function_app("function_app.py")))
from shared.services import Services
services = Services(os.environ)
services.react, services.sweep, services.rollouts, services.approvals
for name in ("deploy", "notify", "register", "retrain", "rollout", "shift_traffic", "start"):
    services.action(name)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the files that are tracked, but for those that `.funcignore` leaves out."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    (tmp_path / "asked").mkdir()
    left_out = left_out_by_git(".funcignore", tracked, tmp_path / "asked")
    folder = tmp_path / "package"
    for name in tracked:
        if name not in left_out:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_package_is_indexed_by_the_worker_without_the_tools_of_a_laptop(
    package: Path,
) -> None:
    assert not (package / "shared" / "twins").exists()
    workspace = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=package,
        env={
            "PATH": "/usr/bin:/bin",
            "SIGNALBOX_WORKSPACE": f"{workspace}/workspaces/w",
            "SIGNALBOX_SWEEP_SCHEDULE": "0 */5 * * * *",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.split() == sorted(TRIGGERS)


def test_the_command_line_is_installed_as_signalbox() -> None:
    (command,) = entry_points(group="console_scripts", name="signalbox")
    assert command.load() is manage.app
