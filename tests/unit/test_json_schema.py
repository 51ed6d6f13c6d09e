"""The JSON Schema of a rules file takes what the loader takes, and finds what editors can find."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

import manage
from commands.json_schema import make_schema
from sandbox.azurite import find_node
from shared.actions import ACTIONS
from shared.reactions.load import FILE_KEYS, load_reactions
from shared.reactions.reaction import REACTION_KEYS
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.schema.document import read_document
from shared.schema.findings import ReactionsFaulty

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "reactions.schema.json"
SCHEMA: dict[str, Any] = make_schema()
VALIDATOR = Draft7Validator(SCHEMA)
ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/main"
)
HEAD = f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\n"
GOOD = f"""\
{HEAD}rollouts:
  careful:
    steps: [probe:, traffic: 10%, hold: 15m, traffic: 100%]
    gates:
      error_rate: {{max_increase: 0.5%}}
reactions:
  - name: deploy-tagged
    on: ModelRegistered
    when: is_true(model.tags.deploy) && model.name != 'run.x'
    cooldown: 1h
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          instance_count: ${{{{ to_number(model.tags.count) || `1` }}}}
          keep_old: 1h30m
          rollout: careful
  - name: tell
    on: [RunStatusChanged, AlertFired]
    do:
      - notify: {{channel: team, title: It happened}}
"""


def problems(text: str) -> list[str]:
    """Return the places that the schema refuses, as an editor marks them."""
    document, _ = read_document(text)
    assert document is not None
    found: Iterator[Any] = VALIDATOR.iter_errors(document.value)
    return sorted("/".join(map(str, error.absolute_path)) for error in found)


def files() -> Iterator[tuple[str, str]]:
    """Yield every rules file of the repository, and every example of the pages."""
    for path in ("reactions.yaml", "demo/reactions.yaml", "tests/app/reactions.yaml"):
        yield path, (ROOT / path).read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for number, example in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)):
            name = f"{page.name}#{number}"
            if example.startswith("version:"):
                yield name, example
            elif example.startswith(("- name:", "  - name:")):
                yield name, f"{HEAD}reactions:\n{indent(example, '  ')}"
            elif example.startswith("rollouts:") and "all-at-once:" not in example:
                yield name, f"{HEAD}reactions: []\n{example}"


def is_loaded(text: str) -> bool:
    """Return whether the loader takes the text."""
    settings = {"SIGNALBOX_WORKSPACE": ID}
    try:
        load_reactions(text, actions=ACTIONS, settings=settings, strict_settings=False)
    except ReactionsFaulty:
        return False
    return True


FILES = [(name, text) for name, text in files() if is_loaded(text)]


def test_there_are_files_and_examples_to_try() -> None:
    assert len(FILES) > 10


@pytest.mark.parametrize(("name", "text"), FILES, ids=[name for name, _ in FILES])
def test_the_schema_takes_each_file_that_the_loader_takes(name: str, text: str) -> None:
    assert problems(text) == []


def test_the_committed_schema_is_that_of_the_code() -> None:
    printed = CliRunner().invoke(manage.app, ["schema"]).stdout
    assert COMMITTED.read_text(encoding="utf-8") == printed, (
        "run: .venv/bin/signalbox schema > reactions.schema.json"
    )
    assert json.loads(printed) == SCHEMA


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


def test_the_schema_has_every_key_of_the_loader() -> None:
    assert SCHEMA["properties"].keys() == FILE_KEYS
    reaction = SCHEMA["definitions"]["reaction"]["properties"]
    assert reaction.keys() == REACTION_KEYS
    assert reaction["do"]["items"]["properties"].keys() == set(ACTIONS)


@pytest.mark.parametrize("name", READY_MADE)
def test_the_schema_takes_each_ready_made_strategy_under_another_name(name: str) -> None:
    document = {"version": 1, "workspaces": [], "reactions": []}
    assert not list(VALIDATOR.iter_errors(document | {"rollouts": {"own": READY_MADE[name]}}))
    assert list(VALIDATOR.iter_errors(document | {"rollouts": {name: READY_MADE[name]}}))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version: 1", "version: 2", "version"),
        ("channels: [team]", "channel: [team]", ""),
        ("channels: [team]", "channels: [https://example.com/x]", "channels/0"),
        ("on: ModelRegistered", "on: ModelRegister", "reactions/0/on"),
        ("on: ModelRegistered", "on: RunCompleted", "reactions/0/on"),
        ("on: [RunStatusChanged, AlertFired]", "on: []", "reactions/1/on"),
        ("on: [RunStatusChanged, AlertFired]", "on: [Alert]", "reactions/1/on"),
        ("    when:", "    if:", "reactions/0"),
        ("cooldown: 1h", "cooldown: 1 hour", "reactions/0/cooldown"),
        ("model.tags.deploy", "model.tag.deploy", "reactions/0/when"),
        ("model.tags.deploy", "run.tags.deploy", "reactions/0/when"),
        ("model.name != 'run.x'", "models.name != 'x'", "reactions/0/when"),
        ("- deploy:", "- deply:", "reactions/0/do/0"),
        ("instance_type:", "instance_typ:", "reactions/0/do/0/deploy"),
        ("keep_old: 1h30m", "keep_old: 90 minutes", "reactions/0/do/0/deploy/keep_old"),
        ("keep_old: 1h30m", "keep_old: 3600", "reactions/0/do/0/deploy/keep_old"),
        ("name: tell", "name: Tell it", "reactions/1/name"),
        ("error_rate:", "error_rates:", "rollouts/careful/gates"),
        ("max_increase: 0.5%", "max_increase: 0.005", "rollouts/careful/gates/error_rate"),
        ("traffic: 10%", "traffic: 10", "rollouts/careful/steps/1/traffic"),
        ("traffic: 10%", "trafic: 10%", "rollouts/careful/steps/1"),
        ("  careful:", "  canary:", "rollouts"),
        ("{channel: team, title", "{channels: team, title", "reactions/1/do/0/notify"),
    ],
)
def test_an_editor_marks_a_mistake_where_it_is(old: str, new: str, place: str) -> None:
    assert problems(GOOD) == []
    assert GOOD.count(old) == 1
    found = problems(GOOD.replace(old, new))
    assert any(at == place or (place and at.startswith(place)) for at in found), found


@pytest.mark.parametrize(
    "when",
    [
        "contains(['a.b', 'models.x'], model.name)",
        'model.tags."models.x" == `"run.y"`',
        "drift.metrics[?value > `0.3`].name | [0] == 'psi'",
        "length(keys(model.tags)) > `0` && !model.tags.skip",
    ],
)
def test_text_in_quotes_and_items_of_lists_are_no_fields(when: str) -> None:
    event = "DriftDetected" if when.startswith("drift") else "ModelRegistered"
    notify = "[notify: {channel: team, title: x}]"
    reaction = f"- name: a\n  on: {event}\n  when: >-\n    {when}\n  do: {notify}\n"
    text = f"{HEAD}reactions:\n{indent(reaction, '  ')}"
    assert problems(text) == []


def patterns(schema: Any) -> Iterator[str]:
    """Yield every pattern of a schema."""
    if isinstance(schema, dict):
        yield from (
            item for key, item in schema.items() if key == "pattern" and isinstance(item, str)
        )
        for item in schema.values():
            yield from patterns(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from patterns(item)


def test_editors_read_every_pattern_which_are_of_javascript() -> None:
    found = sorted(set(patterns(SCHEMA)))
    script = "JSON.parse(process.argv[1]).forEach(each => new RegExp(each, 'u'))"
    ended = subprocess.run(
        [find_node(), "-e", script, json.dumps(found)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
