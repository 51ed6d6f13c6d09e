"""Any input has a documented result, and nothing is lost without a word.

Short and seeded in `make test`; `make soak` searches for long, each time elsewhere.
"""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.actions import ACTIONS
from shared.journal.letters import LetterStatus
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty
from tests.fuzz.conftest import fuzzed
from tests.fuzz.hostile import BAD_TEXTS, bodies, spoilt, spoilt_events
from tests.stories.world import WORKSPACE, World

SECRETS = ("c2VjcmV0c2VjcmV0", "eyJhbGciOi.eyJzdWIi")
#: A reaction for every kind of event, with conditions and values that read what is hostile.
RULES = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: deploy
    on: ModelRegistered
    when: is_true(model.tags.deploy) || contains(model.tags.area, 'd') || length(model.name) > `0`
    do:
      - deploy:
          endpoint: ${{{{ model.name }}}}
          instance_type: Standard_DS3_v2
          notify: [team]
  - name: tell-of-tagged
    on: ModelRegistered
    when: model.tags.team == 'risk' || sort(keys(model.tags))[0] == 'a'
    do: [notify: {{channel: team, title: "${{{{ to_string(model.tags) }}}}"}}]
  - name: tell-deployed
    on: ModelDeployed
    do: [notify: {{channel: team, title: "${{{{ service.name }}}}", text: "${{{{ id }}}}"}}]
  - name: tell-completed
    on: RunCompleted
    do: [notify: {{channel: team, title: "${{{{ run.tags }}}} of ${{{{ run.id }}}}"}}]
  - name: tell-changed
    on: RunStatusChanged
    do:
      - notify:
          channel: team
          title: ${{{{ run.status }}}}
          run_details: true
          fold: {{key: "${{{{ run.experiment_name || run.id }}}}", within: 1h}}
  - name: retrain
    on: DriftDetected
    do:
      - retrain:
          target: {{component: {{name: churn}}}}
          inputs: {{window: "${{{{ drift.window_start }}}}", note: "${{{{ drift.detail }}}}"}}
          notify: [team]
  - name: shift
    on: AlertFired
    do: [shift_traffic: {{endpoint: "${{{{ alert.endpoint || 'churn' }}}}", to: blue}}]
"""


def strange() -> World:
    """Return a world that listens to the workspaces of the payloads as well."""
    return World(RULES)


@fuzzed
@given(bodies())
def test_a_message_ends_on_record_or_as_a_letter(body: str | bytes) -> None:
    world = strange()
    world.react.react_to_body(body)
    letters, records = world.all_letters(), world.rows("SignalboxEvents")
    assert letters or records, "it went without a word"


@fuzzed
@given(spoilt_events())
def test_what_came_of_an_event_is_still_so_when_all_has_settled(event: dict[str, Any]) -> None:
    world = strange()
    for key in ("topic", "source"):
        if key in event:
            event[key] = WORKSPACE.id
    world.react.react(event)
    world.react.react(event)
    world.sweep.run()
    for _ in range(3):
        world.clock.pass_time(timedelta(hours=2))
        for text in world.queues.take("dead-letter"):
            letter = world.letters.due(text)
            if letter is not None:
                world.react.replay(letter)
        for text in world.queues.take("rollouts"):
            world.rollouts.advance(text)
    assert world.all_letters() or world.rows("SignalboxEvents")
    for letter in world.all_letters():
        told = f"{letter.code} {letter.reason} {letter.hint}"
        assert letter.code != "unexpected", told
        assert not any(secret in told for secret in SECRETS), told
    sent = repr([(message.title, message.text) for message in world.channels.sent])
    assert not any(secret in sent for secret in SECRETS), sent


#: The messages that wake a letter and a rollout.
WAKEUPS = [
    {"v": 1, "letter": "0" * 32, "turn": 1, "traceparent": "00-" + "0" * 32 + "-00"},
    {"v": 1, "endpoint": "0" * 32, "rollout": "0" * 32, "tick": 1, "traceparent": ""},
]


@fuzzed
@given(spoilt(st.sampled_from(WAKEUPS)), st.booleans())
def test_a_forged_message_of_the_app_s_own_queues_does_nothing(message: Any, again: bool) -> None:
    world = strange()
    text = message if isinstance(message, str) else json.dumps(message)
    assert world.letters.due(text, redelivered=again) is None
    world.rollouts.advance(text, redelivered=again)
    assert not world.all_letters()
    assert not world.queues.take("rollouts")


@st.composite
def spoilt_rules(draw: st.DrawFn) -> str:
    """Draw the rules with a few lines changed, doubled, dropped, or values put in."""
    lines = RULES.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "double", "indent", "value", "word"])):
            case "drop":
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "indent":
                lines[at] = " " * draw(st.integers(0, 4)) + lines[at].lstrip()
            case "value":
                head, colon, _ = lines[at].partition(":")
                lines[at] = f"{head}{colon} {draw(st.sampled_from(BAD_TEXTS))}"
            case "word":
                lines[at] = lines[at].replace(draw(st.sampled_from(["model", "on", "-", "}"])), "x")
        if not lines:
            break
    return "\n".join(lines)


@fuzzed
@given(spoilt_rules(), st.lists(spoilt_events(), min_size=1, max_size=2))
def test_rules_load_or_say_what_is_wrong_and_what_loads_never_fails_in_a_condition(
    text: str, events: list[dict[str, Any]]
) -> None:
    refused: ReactionsFaulty | None
    try:
        load_reactions(text, actions=ACTIONS, settings={})
    except ReactionsFaulty as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.findings
        assert not any(secret in str(refused) for secret in SECRETS)
        return
    world = World(text)
    for event in events:
        world.react.react(event)
    expressions = [it for it in world.all_letters() if it.code == "unexpected"]
    assert expressions == []
    assert all(letter.status in LetterStatus for letter in world.all_letters())
