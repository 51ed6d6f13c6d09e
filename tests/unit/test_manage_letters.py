"""`manage.py letters`, against the app's own storage."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from manage import app
from sandbox.azurite import Azurite
from shared.dead_letters import LetterStatus
from shared.errors import Disposition, Failure
from shared.services import Services


@pytest.fixture(scope="module")
def storage() -> Iterator[str]:
    """A storage account of this module's own."""
    with Azurite() as azurite:
        yield azurite.connection_string


@pytest.fixture
def services(storage: str, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The app's services; the commands find the same storage in the environment."""
    monkeypatch.setenv("AzureWebJobsStorage", storage)
    return Services({"AzureWebJobsStorage": storage})


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, words)


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
    assert run("letters", "replay", letter_id).exit_code == 0
    letter = services.dead_letters.get(letter_id)
    assert letter is not None
    assert (letter.status, letter.attempt) == (LetterStatus.WAITING, 0)
    texts = [message.text for message in services.queues.receive("dead-letter")]
    assert [json.loads(text)["letter"] for text in texts] == [letter_id]


def test_a_letter_that_is_closed_keeps_the_reason_and_leaves_the_list(services: Services) -> None:
    letter_id = parked(services, '{"id": "e2"}')
    assert run("letters", "close", letter_id, "--why", "a test event").exit_code == 0
    letter = services.dead_letters.get(letter_id)
    assert letter is not None
    assert letter.status is LetterStatus.CLOSED
    assert letter.reason == "closed by hand: a test event"
    assert letter_id not in run("letters", "list", "--json").output
    assert letter_id in run("letters", "list", "--all", "--json").output


def test_closing_takes_a_reason(services: Services) -> None:
    assert run("letters", "close", "x").exit_code == 2


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
