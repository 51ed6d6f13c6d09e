"""The YAML files of jobs: what is wrong with them is told before they are needed."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.aml.job_files import faults_of, find_job_faults, make_job
from shared.adapters.aml.mlclient import sdk
from shared.base.errors import JobInvalid
from shared.events.model import Workspace
from shared.retraining.targets import Input, Submission

pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
ROOT = Path(__file__).parent.parent.parent
GOOD = """\
    type: command
    command: python train.py --days ${{inputs.days}} --data ${{inputs.data}}
    environment: azureml:churn-env:1
    compute: azureml:cpu
    inputs:
      days: 30
      data: {type: uri_folder, path: azureml:churn-data@latest}
    """


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "churn.yaml"
    path.write_text(dedent(GOOD), encoding="utf-8")
    return path


def submission(**inputs: Input) -> Submission:
    """Return a retraining with these inputs."""
    return Submission(
        id="f" * 32,
        reference="r",
        workspace=WORKSPACE,
        since=datetime(2026, 3, 2, tzinfo=UTC),
        is_first=True,
        inputs=inputs,
        hosts=("*.blob.core.windows.net",),
    )


def told(path: Path, text: str, *inputs: str) -> tuple[str, ...]:
    path.write_text(dedent(text), encoding="utf-8")
    return find_job_faults(path, inputs)


def test_the_shipped_job_is_a_job_that_takes_its_inputs() -> None:
    inputs = ["window_start", "window_end", "days", "data"]
    assert find_job_faults(ROOT / "jobs/churn.yaml", inputs) == ()


def test_a_good_job_has_no_faults(file: Path) -> None:
    assert find_job_faults(file, ["days", "data"]) == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("type: command\n  command: x", "churn.yaml is no YAML in line 2: mapping values are not"),
        ("a: \x07", "churn.yaml is no YAML"),
        ("- a", "churn.yaml holds no mapping"),
        ("type: banana\ncommand: echo", "Unsupported job type: banana."),
        ("type: command\nenvironment: azureml:e:1", "`command`: Missing data for required field."),
        ("type: pipeline\njobs: {train: {type: command}}", "`jobs.train.component`: Missing data"),
        ("type: pipeline\njobs: 3", "azure-ai-ml can't read it"),
        (f"{dedent(GOOD)}code: ./src", "`code`: code is not uploaded from here; register"),
        (f"{dedent(GOOD)}code: git+https://x/y", "`code`: code is not uploaded from here"),
        (GOOD.replace("azureml:churn-data@latest", "./data"), "`inputs.data.path`: nothing is up"),
        (GOOD.replace("azureml:churn-env:1", "{build: {path: .}}"), "`environment.build.path`:"),
        (
            "type: pipeline\njobs: {a: {component: gone.yaml}}",
            "`jobs.a.component`: gone.yaml can't",
        ),
    ],
)
def test_what_is_wrong_with_a_job_is_told(file: Path, text: str, fault: str) -> None:
    first, *_ = told(file, text)
    assert first.startswith(fault)
    assert "\n" not in first
    assert len(first) < 400


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert find_job_faults(tmp_path / "gone.yaml") == ("gone.yaml can't be read",)


def test_every_fault_is_told_at_once(file: Path) -> None:
    text = f"{dedent(GOOD)}code: ./src\n".replace("azureml:churn-data@latest", "./data")
    assert len(told(file, text, "days", "dayz", "other")) == 4


def test_inputs_that_the_job_does_not_have_are_told_with_those_that_it_has(file: Path) -> None:
    assert find_job_faults(file, ["dayz"]) == (
        "the job has no input `dayz`; its inputs: days, data",
    )
    assert told(file, "type: command\ncommand: x", "a") == (
        "the job has no input `a`; its inputs: none",
    )


def test_code_of_a_component_that_is_a_file_is_found_too(file: Path) -> None:
    component = file.parent / "train.yaml"
    component.write_text("type: command\ncommand: python x.py\ncode: ../src\n", encoding="utf-8")
    (fault,) = told(file, "type: pipeline\njobs: {train: {component: ./train.yaml}}")
    assert fault.startswith("`jobs.train.component.code`: code is not uploaded")


def test_what_is_called_code_or_path_but_is_a_name_or_a_value_is_no_fault(file: Path) -> None:
    text = """\
        type: command
        command: echo ${{inputs.path}} ${{inputs.code}}
        environment: azureml:churn-env:1
        compute: azureml:cpu
        tags: {path: here, code: there}
        environment_variables: {path: /bin}
        inputs: {path: ./x, code: y}
        """
    assert told(file, text) == ()


def test_data_that_is_called_codes_is_no_code(file: Path) -> None:
    workspace = "s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    code = f"/subscriptions/{workspace}/data/codes/versions/1"
    assert told(file, f"{dedent(GOOD)}code: {code}")[0].startswith("`code`: code is not uploaded")


def test_a_component_that_is_registered_code_included_is_no_fault(file: Path) -> None:
    workspace = "s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    code = f"azureml:/subscriptions/{workspace}/codes/c/versions/1"
    assert told(file, f"{dedent(GOOD)}code: {code}") == ()


def test_a_job_is_made_with_its_own_tags_and_inputs_below_those_that_are_given(file: Path) -> None:
    file.write_text(f"{dedent(GOOD)}tags: {{team: growth, a: own}}\n", encoding="utf-8")
    job = make_job(file, submission(days=7, data="azureml:d:2"), {"a": "b"})
    assert (job.name, job.experiment_name) == (f"signalbox-{'f' * 32}", "churn")
    assert job.tags == {"team": "growth", "a": "b"}
    inputs = job._to_job().inputs
    assert inputs["days"] == 7
    assert (inputs["data"].type, inputs["data"].path) == ("uri_folder", "d:2")


LOCAL = (
    "./secrets",
    "../local.settings.json",
    "/proc/self/environ",
    "file:///proc/self/environ",
    "${{x}}/../../../../proc/self/environ",
    "${{ x }}/../../local.settings.json",
    "${{parent.inputs.x}}",
    "/subscriptions/../proc/self/environ",
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/../../../x",
    "azureml://datastores/a/paths/../../x",
    "azureml://datastores/a/paths/%2e%2e/x",
    "azureml:a:1\n/proc/self/environ",
    "subscriptions/s/resourcegroups/g/workspaces/w/data/d/versions/1",
    "~/x",
    "C:/windows/win.ini",
    "C:\\windows\\win.ini",
    "\\\\host\\share\\x",
    "//host/share/x",
    # LONG S: to a pattern without case it is an s.
    "/\u017fub\u017fcription\u017f/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
    "/workspaces/w/data/d/versions/1",
    "azureml://\u017fubscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/x",
    "azureml://datastores/a/paths/\uff0e\uff0e/x",
    "azureml://datastores/a/paths/\u2024\u2024/x",
    "azureml://datastores/a/paths/\u2025/x",
    "azureml://datastores/a/paths/..;x/y",
    "azureml://datastores/a/paths/.../y",
    "https://acct.blob.core.windows.net/..;/y",
    "https://acct.blob.core.windows.net/%2e%2e/y",
    "https://acct.blob.core.windows.net/%25252e%25252e/y",
    "https://acct.blob.core.windows.net/%2525252525252e%2525252525252e/y",
    f"azureml://datastores/a/paths/{'x' * 3000}",
)


@pytest.mark.parametrize("path", LOCAL)
def test_an_input_can_not_bring_in_data_of_the_app(file: Path, path: str) -> None:
    with pytest.raises(JobInvalid, match="input `data` can't be used: it is no address"):
        make_job(file, submission(data=path), {})


@pytest.mark.parametrize("path", [path for path in LOCAL if path != "${{parent.inputs.x}}"])
def test_a_file_of_a_job_can_not_bring_in_data_of_the_app(file: Path, path: str) -> None:
    text = GOOD.replace("azureml:churn-data@latest", json.dumps(path))
    assert told(file, text, "data")[0].startswith("`inputs.data.path`: nothing is uploaded")


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("https://evil.example/x", "does not list evil.example"),
        ("http://169.254.169.254/", "does not list 169.254.169.254"),
        ("https://me:pw@acct.blob.core.windows.net/x", "it is no address"),
        ("https://evil.example#.blob.core.windows.net/x", "it is no address"),
        ("https://evil.example/.blob.core.windows.net", "does not list evil.example"),
        (
            "azureml://subscriptions/s/resourcegroups/g/workspaces/other/data/d/versions/1",
            "it is in another workspace",
        ),
        (
            "/subscriptions/t/resourceGroups/g/providers/Microsoft.MachineLearningServices"
            "/workspaces/w/data/d/versions/1",
            "it is in another workspace",
        ),
    ],
)
def test_an_address_has_to_be_of_this_workspace_or_of_a_host_that_is_allowed(
    file: Path, path: str, fault: str
) -> None:
    with pytest.raises(JobInvalid, match=fault):
        make_job(file, submission(data=path), {})


@pytest.mark.parametrize(
    "path",
    [
        "azureml:churn-data:3",
        "azureml:churn-data@latest",
        "azureml://datastores/workspaceblobstore/paths/churn/2026/",
        "azureml://jobs/run-1/outputs/data/paths/",
        "https://acct.blob.core.windows.net/data/churn/",
        "wasbs://data@acct.blob.core.windows.net/churn/",
        "azureml://subscriptions/S/resourcegroups/G/workspaces/W/datastores/d/paths/x",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
        "/workspaces/w/data/d/versions/1",
    ],
)
def test_an_input_can_name_data_that_is_somewhere_else(file: Path, path: str) -> None:
    assert make_job(file, submission(data=path), {}).inputs


class NoToken:
    """A credential that nobody may ask: the test sends nothing."""

    def get_token(self, *scopes: str, **_: object) -> NoReturn:
        raise AssertionError(f"a token for {scopes} was asked for")


def test_the_sdk_itself_uploads_nothing(file: Path) -> None:
    sdk()
    from azure.ai.ml import MLClient, load_job
    from azure.ai.ml.exceptions import MlException

    text = dedent(GOOD).replace("azureml:churn-data@latest", str(file.parent))
    file.write_text(text, encoding="utf-8")
    client = MLClient(NoToken(), "s", "g", "w", enable_telemetry=False)
    with pytest.raises(MlException, match="nothing is uploaded from here"):
        client.jobs.create_or_update(load_job(file))


def test_nothing_of_the_sdk_is_loaded_to_import_what_uses_it() -> None:
    program = (
        "import sys, json; import shared.adapters.targets.job, shared.adapters.aml.mlclient,"
        "shared.adapters.aml.job_files, commands.check;"
        "print(json.dumps([m for m in sys.modules if m.startswith('azure.ai')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=True, env=os.environ
    )
    assert json.loads(done.stdout) == []


def test_the_report_of_the_sdk_is_told_without_its_prose() -> None:
    inner = json.dumps({"command": ["Missing."], "inputs": {"a": {"_schema": ["Bad."]}}})
    nested = {"message": f"Validation failed:\n\n {inner} \n\n If you", "path": "*", "value": None}
    report = json.dumps({"result": "Failed", "errors": [nested]})
    error = ValueError(f"Validation for X failed:\n\n {report} \n\n Visit this link")
    assert faults_of(error) == ("`command`: Missing.", "`inputs.a`: Bad.")


@given(st.text() | st.recursive(st.text(), lambda inner: st.lists(inner)).map(json.dumps))
def test_every_error_of_a_job_file_has_a_message(text: str) -> None:
    assert all(isinstance(fault, str) for fault in faults_of(ValueError(text)))


def test_secrets_in_an_error_are_not_told() -> None:
    error = ValueError('x {"errors": [{"message": "token=abcdefgh12345678 is wrong"}]}')
    assert faults_of(error) == ("token=[redacted] is wrong",)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ('days: ""', "`inputs.days` is empty, and AML leaves out an input without a value"),
        ("days: 2026-01-01", '`inputs.days` is read as a date: put quotes around it, "2026-01-01"'),
        ("days: {type: integer}", "`inputs.days`: `type: integer` belongs to a component"),
        ("days:", "`inputs.days` has no value"),
        ("days: [1, 2]", "`inputs.days` is a list"),
        ("days: .nan", "`inputs.days` is no finite number"),
        ("days: {type: folder}", "`inputs.days`: there is no `type: folder`"),
        (
            "days: {tpye: uri_folder, path: azureml:d:1}",
            "`inputs.days` has no `tpye`. Did you mean `type`?",
        ),
        (
            "days: {type: uri_file, path: azureml:d:1, mode: ro-mount}",
            "`inputs.days`: there is no `mode: ro-mount`. Did you mean `ro_mount`?",
        ),
        (
            "days: {type: uri_file, path: azureml:d:1, mode: mount}",
            "`inputs.days`: there is no `mode: mount`. ",
        ),
        ("days: {type: uri_file}", "`inputs.days` has no `path`: name the data, or set it"),
        (
            "days: {type: uri_file, path: azureml:d:1, optional: true}",
            "`inputs.days`: `optional` and `default` belong to a component",
        ),
    ],
)
def test_an_input_that_aml_does_not_take_so_is_told(file: Path, written: str, fault: str) -> None:
    (found,) = told(file, GOOD.replace("days: 30", written))
    assert found.startswith(fault)


def test_data_that_the_file_names_no_path_for_is_set_by_the_reaction(file: Path) -> None:
    text = GOOD.replace(", path: azureml:churn-data@latest", "")
    assert told(file, text, "data") == ()
    job = make_job(file, submission(data="azureml:d:2"), {})
    assert job._to_job().inputs["data"].path == "d:2"


def test_an_input_that_an_event_left_empty_is_refused(file: Path) -> None:
    with pytest.raises(JobInvalid, match=r"`inputs\.days` is empty"):
        make_job(file, submission(days=""), {})
