"""The sample event that docs/start/first-half-hour.md sends does what that page says."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from shared.actions import ACTIONS
from shared.events.envelopes import OF_WORKSPACES, parse_envelope, parse_events, read_body
from shared.events.model import Event
from shared.reactions.load import load_reactions
from shared.reactions.match import Matched, as_listed, match

ROOT = Path(__file__).parents[2]


def test_the_sample_event_is_told_by_the_shipped_rules_with_the_sample_settings() -> None:
    settings = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    reactions = load_reactions(
        (ROOT / settings["SIGNALBOX_REACTIONS"]).read_text(), actions=ACTIONS, settings=settings
    )
    (raw,) = read_body((ROOT / "docs/samples/run_failed.json").read_bytes())
    envelope = parse_envelope(raw)
    (event,) = parse_events(envelope)

    assert envelope.kind in OF_WORKSPACES
    assert isinstance(event, Event)
    assert as_listed(reactions, event.workspace)
    matched = [each for each in match(reactions, event) if isinstance(each, Matched)]
    assert [each.reaction.name for each in matched] == ["tell-failed-runs"]


def test_what_the_page_sends_and_where_is_there() -> None:
    page = (ROOT / "docs/start/first-half-hour.md").read_text()
    settings = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]

    assert "python -m sandbox.send workspace-events docs/samples/run_failed.json" in page
    assert "python -m sandbox.listen" in page
    assert settings["SIGNALBOX_CHANNEL_TEAM"].startswith("json://localhost:9000/")


SCHEMA = json.loads((ROOT / "docs/reference/outcome-events.schema.json").read_text())
OUTCOME_EVENTS = re.findall(
    r"samples/(\w+)\.json", (ROOT / "docs/reference/outcome-events.md").read_text()
)


@pytest.mark.parametrize("name", OUTCOME_EVENTS)
def test_a_sample_of_an_outcome_event_is_what_the_schema_says(name: str) -> None:
    event = json.loads((ROOT / f"docs/samples/{name}.json").read_text())
    Draft202012Validator(SCHEMA).validate(event)
    for member in [*event["data"]]:
        without = {**event, "data": {k: v for k, v in event["data"].items() if k != member}}
        assert not Draft202012Validator(SCHEMA).is_valid(without), member


def test_every_type_of_outcome_event_has_a_sample_and_a_definition() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    types = set(SCHEMA["properties"]["type"]["enum"])
    samples = [
        json.loads((ROOT / f"docs/samples/{name}.json").read_text()) for name in OUTCOME_EVENTS
    ]
    assert {sample["type"] for sample in samples} == types
    assert {f"Signalbox.{name}" for name in SCHEMA["$defs"]} == types
