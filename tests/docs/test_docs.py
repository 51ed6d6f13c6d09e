"""The documentation says what the code does: names, values and diagrams are compared."""

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import manage
from shared.actions import ACTIONS
from shared.adapters.aml.job_files import find_job_faults
from shared.base import telemetry
from shared.reactions.load import load_reactions
from shared.retraining.model import Stage
from shared.retraining.params import PolicyParams
from shared.retraining.targets import TargetParams
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import Phase
from tests.docs import diagram
from tests.reference import default_of, fields_of

WORKSPACE_ID = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
)
ROOT = Path(__file__).parent.parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: The pages outside docs/ have links, too.
PAGES = [
    *DOCS,
    ROOT / "sandbox/README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *(ROOT / "sandbox").glob("*/README.md"),
]


def read(name: str) -> str:
    """Return a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by the code in their first cell."""
    found = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and (name := re.fullmatch(r"`([^`]+)`", cells[0])):
            found[name[1]] = cells[1:]
    return found


def test_every_setting_is_documented_once_and_has_a_safe_example() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    documented = rows(read("reference/settings.md"))
    assert set(sample) <= set(documented)
    source = "".join(
        path.read_text()
        for folder in ("shared", "handlers")
        for path in (ROOT / folder).rglob("*.py")
    )
    used = set(re.findall(r'"(SIGNALBOX_[A-Z_]+)"', source)) | {"SIGNALBOX_SWEEP_SCHEDULE"}
    assert used - {"SIGNALBOX_CHANNEL_", "SIGNALBOX_TOPIC_"} <= set(documented)


def test_every_option_of_host_json_is_explained_with_its_value() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    documented = rows(read("reference/delivery.md"))
    options = {
        "functionTimeout": host["functionTimeout"],
        "telemetryMode": host["telemetryMode"],
        "extensionBundle": host["extensionBundle"]["version"],
        **{
            f"extensions.queues.{name}": value
            for name, value in host["extensions"]["queues"].items()
        },
    }
    assert {name: documented[name][0] for name in options} == {
        name: str(value) for name, value in options.items()
    }


def test_every_span_and_metric_is_documented() -> None:
    names = {
        value for name, value in vars(telemetry).items() if name.startswith(("SPAN_", "METRIC_"))
    }
    assert set(rows(read("reference/telemetry.md"))) >= names


def test_the_diagram_of_phases_is_the_table_of_transitions() -> None:
    drawn = diagram.BLOCK.search(read("explanation/rollouts.md"))
    assert drawn is not None
    assert drawn[0] == diagram.draw(), "run: python -m tests.docs.diagram"


def test_the_diagram_of_phases_has_every_phase() -> None:
    assert set(re.findall(r"\w+", diagram.draw())) >= {phase.replace("-", "_") for phase in Phase}


def test_the_diagram_of_loops_has_every_stage_of_a_retraining() -> None:
    drawn = re.search(r"stateDiagram-v2\n(.*?)```", read("explanation/loops.md"), re.DOTALL)
    assert drawn is not None
    assert set(re.findall(r"\w+", drawn[1])) >= set(Stage)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")
    )
    for link, anchor in links:
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    named = re.findall(r"\]\(([^)#]+)", index.read_text(encoding="utf-8"))
    assert {index.parent / name for name in named} == set(DOCS[1:]) - {index}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"(?<![.\w])((?:docs|shared|handlers|sandbox|bench|demo|tests)/[\w/.-]*\w\.\w+)", text
    )
    for name in named:
        assert (ROOT / name).exists(), name


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command below a group, by its whole name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_every_command_and_option_is_documented() -> None:
    page = read("reference/command-line.md")
    orders = {f"rollouts {kind}": f"| `{kind}` |" for kind in OrderKind}
    for name, command in commands_of(typer.main.get_command(manage.app)):
        assert orders.get(name, f"`{name}") in page, name
        for option in command.params:
            assert option.param_type_name == "argument" or f"`{option.opts[0]}`" in page, (
                option.opts
            )


def test_every_value_of_a_policy_is_documented_with_its_default() -> None:
    documented = rows(read("explanation/policy.md"))
    for name, info in fields_of(PolicyParams).items():
        default = info.get_default(call_default_factory=True)
        quoted = str(list(default)).replace("'", '"') if isinstance(default, tuple) else ""
        assert documented[name][0] in (default_of(info), quoted), name


@pytest.mark.parametrize("target", TargetParams.model_fields)
def test_every_target_has_a_section_that_names_its_values(target: str) -> None:
    section = re.search(rf"^## {target}$(.*?)(?=^##|\Z)", read("reference/targets.md"), re.S | re.M)
    assert section is not None
    (params,) = [
        kind
        for kind in get_args(TargetParams.model_fields[target].annotation)
        if kind is not type(None)
    ]
    for name in params.model_fields:
        assert re.search(rf"\b{name}\b", section[1]), name


@pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning")
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_the_examples_of_actions_are_what_the_loader_takes() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", read("reference/actions.md"), re.S)
    events = {
        "deploy": "ModelRegistered",
        "notify": "RunStatusChanged",
        "publish": "ModelRegistered",
        "register": "RunCompleted",
        "retrain": "DriftDetected",
        "rollout": "AlertFired",
        "shift_traffic": "AlertFired",
        "start": "ModelRegistered",
    }
    for example in examples:
        action = example.split(":")[0].strip("- ")
        steps = "".join(f"      {line}\n" for line in example.splitlines())
        text = (
            "version: 1\nworkspaces: ['%WS%']\nchannels: [team]\ntopics: [news]\nreactions:\n"
            f"  - name: example\n    on: {events[action]}\n    do:\n{steps}"
        )
        settings = {"WS": WORKSPACE_ID}
        load_reactions(
            text,
            actions=ACTIONS,
            settings=settings,
            has_file=lambda name: (ROOT / name).is_file(),
            find_job_faults=lambda name, inputs: find_job_faults(ROOT / name, inputs),
        )


def test_the_reaction_that_registers_what_was_retrained_is_what_the_loader_takes() -> None:
    (example,) = re.findall(r"```yaml\n(- name:.*?)```", read("how-to/retrain-on-drift.md"), re.S)
    text = f"version: 1\nworkspaces: ['%WS%']\nreactions:\n{example}"
    load_reactions(text, actions=ACTIONS, settings={"WS": WORKSPACE_ID})


def reactions_in(page: Path) -> Iterator[str]:
    """Yield the whole reactions among the examples of a page, also those within a list."""
    for block in re.findall(
        r"^( *```yaml\n.*?)^ *```", page.read_text(encoding="utf-8"), re.S | re.M
    ):
        example = textwrap.dedent(block.replace("```yaml", "", 1)).lstrip("\n")
        if example.startswith("- name:") and "\n  on:" in example:
            yield example


#: The examples of this page are mistakes, and `check` is held to them.
MISTAKES = ROOT / "docs/reference/check.md"


@pytest.mark.parametrize(
    "example", [it for page in DOCS if page != MISTAKES for it in reactions_in(page)]
)
def test_every_reaction_in_the_documentation_is_what_the_loader_takes(example: str) -> None:
    text = (
        "version: 1\nworkspaces: ['%WS%']\nchannels: [team]\ntopics: [news]\nreactions:\n"
        + textwrap.indent(example, "  ")
    )
    load_reactions(
        text,
        actions=ACTIONS,
        settings={"WS": WORKSPACE_ID},
        has_file=lambda name: (ROOT / name).is_file(),
    )
