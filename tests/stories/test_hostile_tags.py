"""A model's tags are written by anyone who can register a model: they choose what is allowed."""

import json
from dataclasses import replace

import pytest

from shared.base.errors import Disposition, Failure, WorkspaceUnreachable
from shared.events.envelopes import parse_envelope, parse_events
from shared.journal import ledger, letters, records
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import Outcome, OutcomeStatus, ref_of
from shared.workspaces.model import RunRecord
from tests.stories.world import REACTIONS, WORKSPACE, World, run_status_changed


@pytest.mark.parametrize(
    ("tag", "value", "allowed"),
    [
        ("signalbox_endpoint", "payments", "churn-*"),
        ("signalbox_endpoint", "../payments", "churn-*"),
        ("SIGNALBOX_ENDPOINT", "payments", "churn-*"),
        ("signalbox_instance_type", "Standard_ND96asr_v4", "Standard_DS2_v2"),
        ("signalbox_instance_type", "Standard_DS2_v2; rm -rf", "Standard_DS2_v2"),
        ("signalbox_instance_count", "50", "1, 2"),
        ("signalbox_instance_count", "-1", "1, 2"),
        ("signalbox_probe_request", "/etc/passwd", "golden/*.json"),
    ],
)
def test_a_tag_that_asks_for_what_is_not_allowed_is_parked(
    world: World, tag: str, value: str, allowed: str
) -> None:
    world.react.react(world.register("churn", "1", **{"deploy": "true", tag: value}))
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "deploy.tag_forbidden")
    assert allowed in letter.reason
    assert not world.workspaces.endpoints


@pytest.mark.parametrize("path", ["golden/../local.settings.json", "golden/x/../../a.json"])
def test_a_path_that_leaves_its_folder_is_refused_although_the_glob_matches(
    world: World, path: str
) -> None:
    tags = {"deploy": "true", "signalbox_probe_request": path}
    world.react.react(world.register("churn", "1", **tags))
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "action.params")


def test_a_tag_chooses_what_is_allowed(world: World) -> None:
    tags = {
        "deploy": "true",
        "signalbox_endpoint": "churn-eu",
        "signalbox_instance_type": "Standard_DS2_v2",
        "signalbox_instance_count": "2",
    }
    world.react.react(world.register("churn", "1", **tags))
    world.settle()
    assert world.serving("churn-eu") == "1"
    (deployment,) = next(iter(world.workspaces.deployments.values())).values()
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS2_v2", 2)


def test_tags_are_read_from_the_workspace_and_not_from_the_event(world: World) -> None:
    event = world.register("churn", "1", deploy="false")
    event["data"]["modelTags"] = {"deploy": "true", "signalbox_instance_count": "2"}
    world.react.react(event)
    world.settle()
    assert not world.workspaces.endpoints
    assert world.outcome().code == "superseded"


def test_values_are_made_from_the_model_in_the_workspace_and_not_from_the_event() -> None:
    endpoint = "${{ model.tags.target }}"
    world = World(REACTIONS.replace("${{ model.name }}", endpoint, 1))
    event = world.register("churn", "1", deploy="true", target="churn-eu")
    event["data"]["modelTags"]["target"] = "payments"
    world.react.react(event)
    world.settle()
    assert [name for _, name in world.workspaces.endpoints] == ["churn-eu"]


EXPRESSIONS = [
    ("endpoint: ${{ model.name }}", "endpoint: ${{ model.tags.e }}", {"e": "payments"}),
    ("endpoint: ${{ model.name }}", "endpoint: ${{ model.*.e | [0] }}", {"e": "payments"}),
    ("endpoint: ${{ model.name }}", "endpoint: x-${{ model.tags.e || 'a' }}", {"e": "churn-eu"}),
    ("Standard_DS3_v2", "${{ model.tags.vm }}", {"vm": "Standard_ND96asr_v4"}),
    ("keep_old: 30m", "instance_count: ${{ to_number(model.tags.n) }}", {"n": "50"}),
    ("keep_old: 30m", "rollout: ${{ model.tags.r }}", {"r": "canary"}),
    ("keep_old: 30m", "probe: {request: '${{ model.tags.p }}'}", {"p": "golden/a/b.json"}),
]


@pytest.mark.parametrize(("old", "new", "tags"), EXPRESSIONS)
def test_an_expression_takes_from_a_tag_only_what_is_allowed(
    old: str, new: str, tags: dict[str, str]
) -> None:
    allowed = REACTIONS.replace(
        "golden/*.json]", "golden/churn.json]\n            rollout: [linear]"
    )
    world = World(allowed.replace(old, new, 1))
    world.react.react(world.register("churn", "1", deploy="true", **tags))
    world.settle()
    (letter,) = world.all_letters()
    assert (letter.status, letter.code) == (LetterStatus.PARKED, "deploy.tag_forbidden")
    assert not world.workspaces.endpoints


def test_a_model_can_not_take_the_endpoint_of_another_one_by_its_tag() -> None:
    world = World(REACTIONS.replace("${{ model.name }}", "${{ model.tags.target }}", 1))
    world.react.react(world.register("churn", "1", deploy="true", target="churn-eu"))
    world.settle()
    world.react.react(world.register("other", "9", deploy="true", target="payments"))
    world.settle()
    assert [letter.code for letter in world.all_letters()] == ["deploy.tag_forbidden"]
    assert "'payments' by a tag; `allow.endpoint` lists churn-*" in world.all_letters()[0].reason
    assert [name for _, name in world.workspaces.endpoints] == ["churn-eu"]


@pytest.mark.parametrize("name", ["Ünï_cödé", "9lives", "a" * 200, "UPPER", "x"])
def test_any_model_name_becomes_a_legal_endpoint_name(world: World, name: str) -> None:
    world.react.react(world.register(name, "1"))
    world.settle()
    ((_, endpoint),) = world.workspaces.endpoints
    assert world.serving(endpoint) == "1"
    assert 3 <= len(endpoint) <= 32


def test_a_tag_that_is_no_value_is_told_in_a_sentence(world: World) -> None:
    tags = {"deploy": "true", "signalbox_probe_request": "golden/../x.json"}
    world.react.react(world.register("churn", "1", **tags))
    (letter,) = world.all_letters()
    assert letter.code == "action.params"
    assert letter.reason.startswith("a tag's value can't be used: `probe.request`")
    assert "\n" not in letter.reason
    assert "pydantic" not in letter.reason + letter.hint


@pytest.mark.parametrize("padding", [0, 40_000])
def test_a_secret_in_a_tag_is_in_no_row_blob_or_message_and_a_replay_is_of_the_same_event(
    world: World, padding: int
) -> None:
    secret = "s3cr3tValue0123456789abcdef"
    tags = {"deploy": "true", "note": f"?sig={secret}", "token": secret, "pad": "x" * padding}
    world.react.react(world.register("churn", "1", kind="custom_model", **tags))
    world.sweep.run()
    (letter,) = world.all_letters()
    assert secret not in letter.body
    assert "[redacted]" in letter.body
    tables = (letters.TABLE, records.TABLE, ledger.TABLE)
    everything = [str(row.values) for table in tables for row in world.tables.query(table)]
    assert everything
    assert secret not in " ".join(everything)
    world.register("churn", "1", kind="mlflow_model")
    world.letters.reopen(letter)
    world.settle()
    assert world.serving() == "1"
    assert [one.id for one in world.all_letters()] == [letter.id]


def test_what_is_no_event_has_one_letter_whatever_is_taken_out_of_it(world: World) -> None:
    for _ in range(2):
        world.react.react_to_body("no event, token=s3cr3tValue")
    (letter,) = world.all_letters()
    assert letter.body == "no event, token=[redacted]"
    world.letters.reopen(letter)
    world.settle()
    assert [one.id for one in world.all_letters()] == [letter.id]


def test_no_row_keeps_the_first_half_of_a_secret_that_is_too_long_for_it(world: World) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 4

    def across(edge: int) -> str:
        return ("x " * edge)[: edge - 12] + f" {token}"

    (event,) = parse_events(parse_envelope(world.register("churn", "1")))
    ref = replace(ref_of(event), about=across(2_000), source=across(2_000), id=across(2_000))
    failure = Failure(code="some.code", disposition=Disposition.RETRY, reason=across(4_000))
    world.letters.bury("{}", failure, reaction="some-reaction", ref=ref)
    outcomes = {
        str(number): Outcome(status=OutcomeStatus.DONE, detail=across(edge))
        for number, edge in enumerate([2_000, *[200] * 40])
    }
    world.records.add(ref, outcomes, delivery=True)
    rows = [*world.rows(letters.TABLE), *world.rows(records.TABLE)]
    assert len(rows) == 2
    assert "ghp_" not in str(rows)


def _no_answer(request: str) -> None:
    raise WorkspaceUnreachable(request)


@pytest.mark.parametrize("note", ["there was no token:", "password=", "login with --token "])
def test_a_tag_that_ends_before_a_secret_spoils_no_letter_and_no_rollout(note: str) -> None:
    world = World()
    event = world.register("churn", "1", deploy="true", note=note, other="x")
    world.workspaces.before = _no_answer
    world.react.react(event)
    world.workspaces.before = lambda _: None
    world.settle()
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.CLOSED]
    assert world.serving() == "1"


@pytest.mark.parametrize(
    ("when", "tags"),
    [
        ("model.tags.routing_key == 'eu'", {"routing_key": "eu"}),
        ("is_true(model.tags.needs_token) && model.name == 'churn'", {"needs_token": "true"}),
        ("contains(values(model.tags), 'token: yes')", {"note": "token: yes"}),
    ],
)
def test_a_condition_on_a_tag_that_looks_like_a_secret_holds_for_a_replay_as_well(
    when: str, tags: dict[str, str]
) -> None:
    world = World(REACTIONS.replace("is_true(model.tags.deploy)", json.dumps(when), 1))
    event = world.register("churn", "1", **tags)
    world.workspaces.before = _no_answer
    world.react.react(event)
    world.workspaces.before = lambda _: None
    world.settle()
    assert world.serving() == "1"


@pytest.mark.parametrize("tag", ["note: yes", "token: yes", "token: no"])
def test_a_run_s_tag_that_looks_like_a_secret_is_read_again_for_a_replay(tag: str) -> None:
    told = """
  - name: tell
    on: RunStatusChanged
    when: "run.tags.x == 'token: yes' && run.status == 'Running'"
    do:
      - notify: {channel: team, title: "it runs"}
"""
    world = World(REACTIONS + told)
    run = RunRecord(id="run-1", status="Completed", root_id="run-1", tags={"x": tag})
    world.workspaces.add_run(WORKSPACE, run)
    event = run_status_changed("event-a", world.clock.now(), "Running")
    event["data"]["runTags"] = {"x": "token: yes"}
    world.channels.make_down("team")
    world.react.react(event)
    world.channels.make_well("team")
    world.settle()
    assert world.told() == (["it runs"] if tag == "token: yes" else [])
    assert [letter.status for letter in world.all_letters()] == [LetterStatus.CLOSED]
