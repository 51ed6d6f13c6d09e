"""`signalbox events`, against the app's own storage."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from commands import common, events
from manage import app
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import Workspace
from shared.journal.outcomes import WHOLE, EventRef, Outcome, OutcomeStatus, ref_of
from shared.services import Services
from tests.stories.world import model_registered, run_completed, run_status_changed

NOW = datetime.now(UTC).replace(microsecond=0)
DONE = Outcome(status=OutcomeStatus.DONE, detail="told team")
FAILED = Outcome(status=OutcomeStatus.FAILED, code="channel.down", detail="no answer")
SKIPPED = Outcome(status=OutcomeStatus.SKIPPED, detail="`is_true(model.tags.deploy)` is null")


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, ["events", *words])


@pytest.fixture
def place() -> Workspace:
    """A workspace that no other test has events of."""
    return Workspace(subscription="sub", resource_group="rg", name=f"ws-{uuid.uuid4().hex[:10]}")


def arrive(
    services: Services, raw: Mapping[str, Any], outcomes: Mapping[str, Outcome] | None = None
) -> EventRef:
    """Record the arrival of an envelope; return the address of its event."""
    envelope = parse_envelope(raw)
    (event,) = parse_events(envelope)
    ref = ref_of(event)
    found = outcomes or {WHOLE: SKIPPED}
    services.records.add(ref, found, delivery=True, body=envelope.body)
    return ref


def three(services: Services, place: Workspace) -> list[EventRef]:
    """Have three events arrive, the oldest first."""
    return [
        arrive(
            services,
            model_registered("m8", NOW - timedelta(hours=30), "churn", "8", workspace=place),
            {"deploy/deploy": FAILED, "tell/notify": DONE},
        ),
        arrive(
            services,
            run_completed("r1", NOW - timedelta(hours=2), "run-1") | {"topic": place.id},
            {"tell/notify": DONE},
        ),
        arrive(services, model_registered("m9", NOW, "churn", "9", workspace=place)),
    ]


def listed(place: Workspace, *options: str) -> list[str]:
    """Return the ids of the events that are listed."""
    result = run("list", "--json", "--workspace", place.name, *options)
    assert result.exit_code == 0, result.output
    return [item["id"] for item in json.loads(result.stdout)]


def test_events_are_listed_newest_first_and_by_everything_that_one_asks_for(
    services: Services, place: Workspace
) -> None:
    three(services, place)
    assert listed(place) == ["m9", "r1", "m8"]
    assert listed(place, "--since", "3h") == ["m9", "r1"]
    assert listed(place, "--until", "1h") == ["r1", "m8"]
    assert listed(place, "--since", f"{NOW - timedelta(hours=31):%Y-%m-%dT%H:%M}") == [
        *("m9", "r1", "m8")
    ]
    assert listed(place, "--type", "runcompleted") == ["r1"]
    assert listed(place, "--type", "Microsoft.MachineLearningServices.RunCompleted") == ["r1"]
    assert listed(place, "--model", "churn") == ["m9", "m8"]
    assert listed(place, "--model", "churn:8") == ["m8"]
    assert listed(place, "--run", "run-1") == ["r1"]
    assert listed(place, "--run", "churn") == []
    assert listed(place, "--outcome", "failed") == ["m8"]
    assert listed(place, "--outcome", "channel.down") == ["m8"]
    assert listed(place, "--reaction", "tell", "--outcome", "DONE") == ["r1", "m8"]
    assert listed(place, "--most", "1") == ["m9"]
    assert listed(place, "--most", "0") == ["m9", "r1", "m8"]


def test_a_list_that_was_cut_says_so_beside_it(services: Services, place: Workspace) -> None:
    three(services, place)
    result = run("list", "--workspace", place.name, "--most", "2")
    assert len(result.stdout.splitlines()) == 3
    assert result.stderr == "these are the newest 2; --most 0 lists all\n"
    assert run("list", "--workspace", place.name, "--most", "3").stderr == ""


def test_in_a_pipe_an_event_is_a_line_with_what_came_of_it(
    services: Services, place: Workspace
) -> None:
    first, *_ = three(services, place)
    rows = run("list", "--workspace", place.name).stdout.splitlines()
    assert rows[0].split("\t") == [
        *("id", "happened", "workspace", "type", "about", "outcome", "what came of it")
    ]
    key, happened, *rest = rows[3].split("\t")
    assert (key, happened) == (first.key[:12], f"{first.time:%Y-%m-%d %H:%M:%SZ}")
    assert rest == [
        *(place.name, "ModelRegistered", "churn:8", "failed"),
        "deploy/deploy failed; tell/notify done",
    ]
    assert rows[1].endswith("skipped\t`is_true(model.tags.deploy)` is null")
    assert run("list", "--workspace", "nowhere").stdout == "no events\n"


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("width", [60, 80])
def test_on_a_narrow_terminal_no_line_is_too_long(
    services: Services, place: Workspace, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = three(services, place)
    monkeypatch.setattr(
        common,
        "_console",
        lambda: Console(width=width, force_terminal=True, color_system=None, highlight=False),
    )
    for words in (["list", "--workspace", place.name], ["show", first.key]):
        lines = run(*words).stdout.splitlines()
        shown = lines[: lines.index("as it arrived:")] if "as it arrived:" in lines else lines
        assert max(map(len, shown)) <= width


@pytest.mark.usefixtures("rules")
def test_an_event_is_shown_as_it_arrived_as_it_was_read_and_with_what_came_of_it(
    services: Services, place: Workspace
) -> None:
    raw = model_registered(
        "m1", NOW, "churn", "8", {"note": "\x1b[31m pwd=s3cr3tValue"}, workspace=place
    )
    ref = arrive(services, raw, {"tell/notify": DONE})
    result = run("show", ref.key[:14])
    assert result.exit_code == 0
    for part in (
        f"ModelRegistered churn:8 in {place.name}",
        f"workspace `{place.name}` is not listed",
        "tell: it is gone from the file",
        "notify  done: told team",
        '"modelName": "churn"',
        '"name": "churn"',
    ):
        assert part in result.output
    assert "s3cr3t" not in result.output
    assert "\x1b" not in result.output
    (document,) = json.loads(run("show", ref.key, "--json").output)
    assert document["body"]["data"]["modelVersion"] == "8"
    assert document["read"]["model"]["version"] == "8"
    assert document["outcomes"]["tell/notify"]["status"] == "done"
    assert [item["name"] for item in document["reactions"]][-1] == "tell"


def test_an_event_is_shown_without_rules_that_can_not_be_read(
    services: Services, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = arrive(services, model_registered("m1", NOW, workspace=place), {"tell/notify": DONE})
    monkeypatch.setenv("SIGNALBOX_REACTIONS", "no-such-file.yaml")
    result = run("show", ref.key)
    assert result.exit_code == 0
    assert "the rules can't be read, so only outcomes are shown" in result.stderr
    assert "tell: on record" in result.stdout
    assert "notify  done: told team" in result.stdout


@pytest.mark.usefixtures("rules")
def test_an_id_that_is_missing_empty_or_not_enough_is_answered(
    services: Services, place: Workspace
) -> None:
    mark = uuid.uuid4().hex[:8]
    for number in (1, 2):
        raw = model_registered(f"{mark}-{number}", NOW, workspace=place, version=str(number))
        arrive(services, raw)
    assert run("show", f"{mark}-1").exit_code == 0
    result = run("show", mark)
    assert result.exit_code == 1
    assert f"2 events begin with {mark}: " in result.output
    assert f"({mark}-2)" in result.output
    result = run("show", "nothing-has-this")
    assert result.exit_code == 1
    assert "there is no event nothing-has-this; `signalbox events list` shows" in result.output
    assert "the id is empty" in run("show", " ").output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "soon"], "'soon' is no time: write 45m, 2h, 7d, or 2026-03-02T09:00Z"),
        (["--type", "RunComplete"], "there is no event type RunComplete. Did you mean"),
        (["--model", "a", "--run", "b"], "give --model or --run, not both"),
    ],
)
def test_a_filter_that_can_not_be_meant_is_said(
    services: Services, options: list[str], said: str
) -> None:
    result = run("list", *options)
    assert result.exit_code == 1
    assert said in result.output


def test_events_are_watched_as_they_come_and_as_their_outcome_changes(
    services: Services, place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrive(services, model_registered("old", NOW - timedelta(hours=2), workspace=place))
    first = arrive(
        services,
        run_status_changed("e1", NOW) | {"topic": place.id},
        {"tell/notify": Outcome(status=OutcomeStatus.WAITING)},
    )
    later = [
        lambda: arrive(services, model_registered("e2", NOW, version="2", workspace=place)),
        lambda: services.records.add(first, {"tell/notify": DONE}, delivery=False),
        lambda: None,
    ]

    def pause(seconds: float) -> None:
        assert seconds > 0
        if not later:
            raise KeyboardInterrupt
        later.pop(0)()

    monkeypatch.setattr(events, "pause", pause)
    result = run("list", "--watch", "--json", "--workspace", place.name)
    assert result.exit_code == 0
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    assert [item["id"] for item in seen] == ["e1", "e2", "e1"]
    assert seen[2]["outcomes"]["tell/notify"]["status"] == "done"
