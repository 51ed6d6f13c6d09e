"""The examples in docstrings do what they show."""

import doctest
import importlib
from collections.abc import Callable
from typing import Any

import pytest

from shared.actions import ACTIONS
from shared.events.envelopes import parse_envelope, parse_events, read_body
from shared.events.model import Event
from shared.reactions.load import load_reactions
from tests.layers import ROOT
from tests.unit.rollouts import BOTH, NOW, at_step, make_seen, traffic


def of_match() -> dict[str, Any]:
    """Return an event of a model without the tag `deploy`, and the repository's reactions."""
    (raw,) = read_body((ROOT / "tests/events/model_registered.event_grid.json").read_bytes())
    (event,) = parse_events(parse_envelope(raw))
    assert isinstance(event, Event)
    settings = {"SIGNALBOX_WORKSPACE": event.workspace.id}
    text = (ROOT / "reactions.yaml").read_text(encoding="utf-8")
    return {"event": event, "reactions": load_reactions(text, actions=ACTIONS, settings=settings)}


def of_services() -> dict[str, Any]:
    """Return the envelope of a new model, and reactions that send a message about it."""
    (raw,) = read_body((ROOT / "tests/events/model_registered.event_grid.json").read_bytes())
    text = f"""
        version: 1
        workspaces: ["{raw["topic"]}"]
        channels: [team]
        reactions:
          - name: tell-new-models
            on: ModelRegistered
            do:
              - notify: {{channel: team, title: "${{{{ model.name }}}} is new"}}
    """
    return {"envelope": raw, "reactions": load_reactions(text, actions=ACTIONS, settings={})}


def of_decide() -> dict[str, Any]:
    """Return a rollout that has come to its first step, and all that it sees."""
    return {
        "rollout": at_step(0, traffic(10), traffic(100)),
        "seen": make_seen(states=BOTH),
        "now": NOW,
    }


#: The modules with examples, each with the names that its examples use and don't make.
MODULES: dict[str, Callable[[], dict[str, Any]]] = {
    "shared.journal.ledger": dict,
    "shared.reactions.expressions": dict,
    "shared.reactions.load": dict,
    "shared.reactions.match": of_match,
    "shared.rollouts.deciding.decide": of_decide,
    "shared.services": of_services,
    "shared.twins.clock": dict,
    "shared.twins.storage": dict,
    "shared.twins.workspaces": dict,
}


@pytest.mark.parametrize("name", MODULES)
def test_an_example_does_what_it_shows(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), extraglobs=MODULES[name]())

    assert result.attempted > 0
    assert result.failed == 0
