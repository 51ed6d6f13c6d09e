"""The sample event that docs/start/first-half-hour.md sends does what that page says."""

import json
from pathlib import Path

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
