"""`signalbox letters`, against the app's own storage."""

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from manage import app
from shared.adapters.storage.blobs import AzureBlobs
from shared.base.errors import Disposition, Failure
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Workspace
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import EventRef, Outcome, OutcomeStatus, ref_of
from shared.services import Services
from tests.stories.world import run_status_changed


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, words)


#: Who orders, and why.
BECAUSE = ("--by", "mia", "--why")


def parked(services: Services, body: str) -> str:
    """Bury something that waiting can't help; return the letter's id."""
    failure = Failure(
        code="deploy.tag_forbidden",
        disposition=Disposition.PARK,
        reason="tag \x1b[31masks for too much",
        hint="widen `allow:`",
    )
    return services.dead_letters.bury(body, failure, reaction="deploy-it").id


def test_a_parked_letter_is_listed_shown_and_replayed(services: Services) -> None:
    letter_id = parked(services, '{"id": "e1"}')
    assert letter_id in [item["id"] for item in json.loads(run("letters", "list", "--json").output)]
    assert "parked" in run("letters", "list").output
    shown = run("letters", "show", letter_id[:10])
    assert "deploy.tag_forbidden" in shown.output
    assert '"id": "e1"' in shown.output
    assert "\x1b" not in shown.output, "what others wrote can't steer the terminal"
    assert run("letters", "replay", letter_id, *BECAUSE, "it is there now").exit_code == 0
    letter = services.dead_letters.get(letter_id)
    assert letter is not None
    assert (letter.status, letter.attempt) == (LetterStatus.WAITING, 0)
    assert letter.order == "replayed by mia: it is there now"
    assert (
        "order:      replayed by mia: it is there now" in run("letters", "show", letter_id).output
    )
    texts = [message.text for message in services.queues.receive("dead-letter")]
    assert [json.loads(text)["letter"] for text in texts] == [letter_id]


def test_only_a_letter_that_waits_is_due(services: Services) -> None:
    letter_id = parked(services, '{"id": "due"}')
    letter = services.dead_letters.get(letter_id)
    assert letter is not None

    def line() -> str:
        listed = run("letters", "list", "--all").output.splitlines()
        return next(line for line in listed if line.startswith(letter_id[:8]))

    assert f"{letter.due_at:%Y-%m-%d}" not in line()
    assert "due:" not in run("letters", "show", letter_id).output
    run("letters", "replay", letter_id, *BECAUSE, "it is there now")
    assert f"{letter.due_at:%Y-%m-%d}" in line()
    assert "due:" in run("letters", "show", letter_id).output


def test_a_letter_that_is_closed_keeps_the_reason_and_leaves_the_list(services: Services) -> None:
    letter_id = parked(services, '{"id": "e2"}')
    assert run("letters", "close", letter_id, *BECAUSE, "a test event").exit_code == 0
    letter = services.dead_letters.get(letter_id)
    assert letter is not None
    assert letter.status is LetterStatus.CLOSED
    assert letter.order == "closed by mia: a test event"
    assert letter.reason == "tag asks for too much", "why it failed is still known"
    assert letter_id not in run("letters", "list", "--json").output
    assert letter_id in run("letters", "list", "--all", "--json").output


def test_a_letter_is_found_by_how_its_id_begins_without_reading_any_other(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [json.dumps({"id": f"e{number}", "x": "x" * 40_000}) for number in range(6)]
    ids = [parked(services, body) for body in bodies]
    asked: list[str] = []
    get = AzureBlobs.get

    def count(self: AzureBlobs, container: str, name: str) -> bytes | None:
        asked.append(name)
        return get(self, container, name)

    monkeypatch.setattr(AzureBlobs, "get", count)
    assert all(letter_id[:8] in run("letters", "list").output for letter_id in ids)
    assert asked == []
    assert '"id": "e3"' in run("letters", "show", ids[3][:12]).output
    assert asked == [ids[3]]


def test_what_was_listed_can_be_closed_and_replayed_with_its_body(services: Services) -> None:
    body = json.dumps({"id": "e9", "x": "x" * 40_000})
    letter_id = parked(services, body)
    (listed,) = services.dead_letters.find(letter_id)
    assert not listed.is_read
    assert services.dead_letters.close(listed)
    (closed,) = services.dead_letters.find(letter_id)
    assert services.dead_letters.reopen(closed)
    letter = services.dead_letters.get(letter_id)
    assert letter is not None
    assert letter.body == body


def test_closing_a_letter_is_on_the_record_of_its_event(services: Services) -> None:
    raw = run_status_changed("e1", datetime.now(UTC))
    (event,) = parse_events(parse_envelope(raw))
    ref = ref_of(event)
    failure = Failure(code="channel.down", disposition=Disposition.RETRY, reason="no answer")
    letter = services.dead_letters.bury(json.dumps(raw), failure, reaction="tell", ref=ref)
    waiting = Outcome(status=OutcomeStatus.WAITING, attempt=1)
    services.records.add(ref, {"tell/notify": waiting}, delivery=True)
    assert run("letters", "close", letter.id, *BECAUSE, "too late").exit_code == 0
    record = services.records.get(ref)
    assert record is not None
    outcome = record.outcomes["tell/notify"]
    assert (outcome.status, outcome.detail) == (OutcomeStatus.FAILED, "closed by mia: too late")


def test_letters_are_listed_by_workspace_and_by_reaction(services: Services) -> None:
    def bury(workspace: str, reaction: str) -> str:
        event = EventRef(
            key=f"{workspace}/{reaction}",
            id="e1",
            type="RunStatusChanged",
            time=datetime.now(UTC),
            source=Workspace(subscription="sub", resource_group="rg", name=workspace).id,
        )
        failure = Failure(code="channel.down", disposition=Disposition.PARK, reason="no answer")
        return services.dead_letters.bury("{}", failure, reaction=reaction, ref=event).id

    mine, other, foreign = bury("ws-a", "tell"), bury("ws-a", "deploy"), bury("ws-b", "tell")

    def listed(*options: str) -> set[str]:
        found = json.loads(run("letters", "list", "--json", *options).output)
        return {item["id"] for item in found} & {mine, other, foreign}

    assert listed("--workspace", "WS-A") == {mine, other}
    assert listed("--reaction", "tell") == {mine, foreign}
    assert listed("--workspace", "ws-b", "--reaction", "deploy") == set()
    assert "workspace:  ws-b" in run("letters", "show", foreign).output


@pytest.mark.parametrize("order", ["close", "replay"])
def test_orders_take_a_reason(services: Services, order: str) -> None:
    assert run("letters", order, "x").exit_code == 2


@pytest.mark.parametrize("letter_id", ["", " "])
def test_an_empty_id_is_answered_with_how_to_find_one(services: Services, letter_id: str) -> None:
    parked(services, "{}")
    result = run("letters", "show", letter_id)
    assert result.exit_code == 1
    assert result.output == "the id is empty: `signalbox letters list` shows the ids\n"


def test_an_id_that_there_is_not_is_said_and_exits_with_1(services: Services) -> None:
    result = run("letters", "show", "zzz")
    assert result.exit_code == 1
    assert "there is no letter zzz" in result.output


def test_without_a_storage_account_the_error_is_one_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    result = run("letters", "list")
    assert result.exit_code == 1
    assert "AzureWebJobsStorage" in result.output
