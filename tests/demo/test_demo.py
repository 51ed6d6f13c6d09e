"""The demo ends as it says, or says why not; and it never leaves anything behind."""

import io
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import psutil
import pytest
import typer
from azure.core.exceptions import HttpResponseError
from rich.console import Console
from typer.testing import CliRunner

from demo import register
from demo.play import NotAsTold, Play
from demo.runs import RunNews
from demo.screen import Screen
from demo.stage import APP_ROOT, Told
from demo.watch import Watch
from sandbox.event_grid.schemas import Event, Schema
from shared.journal.letters import Letter, LetterStatus
from shared.rollouts.state.phases import Phase

#: In seconds: many times as long as the demo takes on a machine with nothing else to do.
_LONGEST = 900

_CHURN_1_CRASHES = """
from dataclasses import replace
from demo.show import perform
from demo.stories import STORIES

def tell(play):
    play.stack.control.fail_deployment(model="churn", version="1")
    return STORIES[0].tell(play)

raise SystemExit(perform([replace(STORIES[0], tell=tell), STORIES[1]], once=True))
"""

_AZURITE_IS_MISSING = """
from pathlib import Path
from demo.show import perform
from sandbox import azurite

azurite._PROGRAM = Path("/nowhere/sandbox/node_modules/azurite/dist/src/azurite.js")
raise SystemExit(perform([], once=True))
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=APP_ROOT,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )


#: The lines of the story of the drift, as `expect` has them; all others come between.
_FROM_DRIFT_TO_RECOVERY = (
    r"policy +holds it back, data_quality: ",
    r"team +churn: its data is broken, so it is not retrained$",
    r"policy +holds it back, too_few_windows: 1 of the last 2 windows drifted, 2 of 3 are wanted$",
    r"checked +in the workspace: no job of a retraining$",
    r"policy +retrain: JensenShannonDistance of amount is 0\.34, effect 2\.4$",
    r"team +churn: retraining started after drift$",
    r"checked +in the workspace: one job of a retraining, signalbox-[0-9a-f]{8}$",
    r"checked +its tag signalbox_retraining leads back$",
    r"checked +its input window_start is \d{4}-\d\d-\d\dT00:00:00\+00:00$",
    r"event +RunCompleted of signalbox-[0-9a-f]{8} is delivered: 202$",
    r"event +ModelRegistered models/churn:5 is delivered: 202$",
    r"requests +are answered by churn-v5-[0-9a-f]{6} from here on \(\d+ before, 0 failed\)$",
    r"loop +retraining is live: churn:5; ",
    r"team +churn 5 is live on churn$",
    r"checked +on record: auc 0\.91 against 0\.88: better by 0\.03$",
    r"policy +no_drift: no signal is breached$",
    r"team +churn has recovered$",
    r"checked +in the table: loop calm, retraining helped$",
    r"checked +on record of the drift: done, churn:5, which is live$",
    r"checked +told once each: broken data, start, end, recovery$",
)


#: The lines of the stories of the two canaries.
_A_CANARY = (
    r"requests +many customers ask now, 80 times a second$",
    r"gate +pass: churn-v5-[0-9a-f]{6}: error rate 0% \(0 of \d+\)$",
    r"shifting +10% of the traffic is being moved to churn-v6-[0-9a-f]{6}$",
    r"holding +churn-v5-[0-9a-f]{6} 90%, churn-v6-[0-9a-f]{6} 10%: for 10s, ",
    r"gate +pass: error rate 0% .* p = \S+, not below \S+$",
    r"shifting +50% of the traffic is being moved to churn-v6-[0-9a-f]{6}$",
    r"gate +pass: mean latency .* p = \S+, not below \S+$",
    r"shifting +all traffic is being moved to churn-v6-[0-9a-f]{6}$",
    r"gate +pass: ",
    r"live +churn-v6-[0-9a-f]{6} serves all traffic; ",
    r"checked +churn-v6-[0-9a-f]{6} has 100% of the endpoint's traffic$",
    r"checked +on record: \d+ measurements, none failed$",
    r"checked +\d+ customers' requests meanwhile, none failed$",
)
_A_BAD_CANARY = (
    r"holding +churn-v6-[0-9a-f]{6} 90%, churn-v7-[0-9a-f]{6} 10%: for 10s, ",
    r"gate failed +.* p = \S+, below \S+$",
    r"team +churn 7 failed on churn$",
    r"keeping +churn-v7-[0-9a-f]{6} is kept for 4s, without traffic$",
    r"team +churn 7 was rolled back on churn$",
    r"checked +churn-v6-[0-9a-f]{6} has 100% of the endpoint's traffic$",
    r"checked +gate (latency|error_rate) failed at 10%$",
    r"checked +the team was told what it measured$",
    r"checked +\d+ of \d+ customers' requests failed \(\S+%\), by churn 7 only$",
    r"checked +none failed once traffic was back$",
    r"the record +\d+\.\d s from the first reading at 10% to traffic that is back, ",
    r"customers +\d+ s from the first failed request to the last one that churn 7 was sent$",
    r"checked +beside it: nothing else$",
    r"operator +signalbox rollouts show [0-9a-f]{8}$",
    r"✗ +3 hold 10s +█░+ +10%",
)


@pytest.fixture(scope="module")
def shown() -> str:
    """Return the output of the demo, played once."""
    ended = _run("-m", "demo", "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def test_every_story_ends_as_told(shown):
    assert len(re.findall(r"s  as told       [1-8]\. ", shown)) == 8
    verdict = shown.splitlines()[-1]
    found = re.fullmatch(
        r"8 of 8 stories ended as told; of (\d+) scoring requests 0 failed"
        r"(, but for \d+ of a bad version)?\.",
        verdict,
    )
    assert found is not None, verdict
    assert int(found[1]) > 1000


def expect(shown: str, title: str, facts: Sequence[str]) -> str:
    """Find a story, and in it these facts; return it.

    Those that one watcher sees are in this order. Of two watchers either may come to look first.
    """
    _, _, story = shown.partition(f"\n{title}\n")
    seen: dict[str, Iterator[str]] = {}
    for fact in facts:
        watcher = _watcher(fact.partition(" +")[0])
        lines = _seen_by(watcher, story)
        left = lines if watcher in _IN_ANY_ORDER else seen.setdefault(watcher, iter(lines))
        assert any(re.search(fact, line) for line in left), f"{fact}\n{story}"
    return story


_LABEL = re.compile(r" *[0-9.]+s  (\S+(?: \S+)*)  ")
#: Deliveries and quoted lines come in any order among the other lines.
_IN_ANY_ORDER = frozenset({"event", "✗"})


def _watcher(label: str) -> str:
    """Return who sees what has this label: the phases of a rollout are one history."""
    if label in {str(phase) for phase in Phase}:
        return "rollout"
    return "gate" if label.startswith("gate") else label


def _seen_by(watcher: str, story: str) -> list[str]:
    lines = story.splitlines()
    if watcher == "✗":
        return lines
    labels = ((_LABEL.match(line), line) for line in lines)
    return [line for found, line in labels if found and _watcher(found[1]) == watcher]


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_two_watchers_lines_is_no_matter(seed: int) -> None:
    chance = random.Random(seed)
    told = {
        "policy": ["holds it back, data_quality: x", "no_drift: y"],
        "holding": ["10%"],
        "live": ["serves"],
        "gate": ["pass: x"],
        "gate failed": ["y"],
        "event": ["b", "a"],
    }
    facts = [("policy", 0), ("holding", 0), ("gate", 0), ("gate failed", 0), ("live", 0)]
    facts += [("policy", 1), ("event", 1), ("event", 0)]
    kept = {name: [f"  1.0s  {name:<12}  {text}" for text in texts] for name, texts in told.items()}
    rows = [
        kept["policy"],
        kept["holding"] + kept["live"],
        kept["gate"] + kept["gate failed"],
        kept["event"],
    ]
    lines = []
    while rows := [row for row in rows if row]:
        lines.append(chance.choice(rows).pop(0))
    story = "\n".join(["", "A title", *lines])

    expect(story, "A title", [f"{name} +{told[name][number]}" for name, number in facts])
    with pytest.raises(AssertionError):
        expect(story, "A title", ["live +serves", "holding +10%"])
    with pytest.raises(AssertionError):
        expect(story, "A title", ["policy +something else"])


def test_a_canary_goes_live_by_what_its_gates_measure(shown):
    expect(shown, "7. A canary", _A_CANARY)


def test_a_bad_canary_is_caught_at_a_tenth_and_told_and_shown(shown):
    expect(shown, "8. A bad one, caught at 10%", _A_BAD_CANARY)


def test_drift_is_held_back_retrained_deployed_and_proved(shown):
    story = expect(shown, "6. The data drifts", _FROM_DRIFT_TO_RECOVERY)
    assert story.count("retraining is starting: job jobs/churn.yaml") == 1


def test_a_story_that_ends_otherwise_ends_the_demo_with_1_and_the_reason():
    ended = _run("-c", _CHURN_1_CRASHES)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Not as told: churn 1 is rolled-back, not done: ResourceNotReady" in ended.stdout
    assert "the app's last log lines:" in ended.stdout
    assert "NOT as told   1. A tagged model goes live" in ended.stdout
    assert "happened      not told" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("0 of 2 stories ended as told")


def test_without_azurite_it_says_what_to_run():
    ended = _run("-c", _AZURITE_IS_MISSING)
    assert ended.returncode == 1
    assert "run `make setup`" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(number):
    with subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=APP_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        # Where the first story fails, it keeps running and says nothing more.
        told = takewhile(lambda line: "NOT as told" not in line, demo.stdout)
        has_begun = any("is being created" in line for line in told)
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(number)
        rest, errors = demo.communicate(timeout=120)
    assert has_begun
    assert demo.returncode == 130
    assert errors == ""
    assert rest.endswith("Stopped; nothing is left running.\n")
    assert len(children) >= 2
    assert not [child for child in children if child.is_running()]


def test_a_failed_scoring_request_breaks_the_story():
    customer: Any = SimpleNamespace(answered=99, failures=["HTTP 503 of churn-v1-0a1b2c"])
    play = Play(**dict.fromkeys(Play.__dataclass_fields__, None) | {"customer": customer})
    play.screen = Screen(Console(file=io.StringIO()))
    with pytest.raises(NotAsTold, match="HTTP 503 of churn-v1-0a1b2c"):
        play.check_nothing_failed()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_terminal_of_any_width_shows_everything(width):
    screen, shown = _screen(width=width, force_terminal=True)
    screen.chapter("1. A title", "An opening that does not fit on a line of so few characters.")
    screen.line("rolling-back", "churn-v3-0a1b2c failed; traffic stays with what is healthy " * 3)
    screen.quote("ModuleNotFoundError: No module named 'sklearn'")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    assert max(map(len, plain.splitlines())) <= width
    assert plain.count("healthy") == 3
    assert re.search(r"'\s*s?\s*k?\s*learn|sklearn", plain)


def test_a_pipe_gets_plain_lines():
    screen, shown = _screen()
    screen.chapter("1. A title", "An opening")
    screen.line("deployment", "churn-v1-0a1b2c is being created, with no traffic " * 4)
    with screen.footer(lambda: "waiting"):
        screen.quote("as it is\n  indented")
    lines = shown.getvalue().splitlines()
    assert len(lines) == 6
    assert lines[3].startswith("   0.0s  deployment    churn-v1-0a1b2c is being created")
    assert lines[5].endswith("|    indented")
    assert "\x1b" not in shown.getvalue()
    assert "waiting" not in shown.getvalue()


def _screen(**options: Any) -> tuple[Screen, io.StringIO]:
    shown = io.StringIO()
    return Screen(Console(file=shown, highlight=False, **options)), shown


def _event(kind: str, run: str, *, root: str = "", status: str = "") -> dict[str, Any]:
    data: dict[str, Any] = {"runId": run, "experimentName": "m", "runTags": {}}
    data["runProperties"] = {"azureml.rootpipelinerunid": root} if root else {}
    if status:
        data["runStatus"] = status
    return {"eventType": f"Microsoft.MachineLearningServices.{kind}", "data": data}


def test_of_a_run_with_many_events_only_the_number_is_shown():
    news = RunNews()
    delivery: Any = SimpleNamespace(status=202, outcome="delivered")
    steps = [_event("RunStatusChanged", "s", root="r", status="Running") for _ in range(9)]
    assert {news.tell(delivery, event) for event in steps} == {""}
    assert news.tell(delivery, _event("RunStatusChanged", "r", status="Running")) == ""
    told = news.tell(delivery, _event("RunCompleted", "r"))
    assert told == "m's run has completed: 11 events of it are delivered"


def test_each_event_of_a_retrainings_run_is_shown():
    delivery: Any = SimpleNamespace(status=202, outcome="delivered")
    event = _event("RunStatusChanged", "signalbox-" + "a" * 32, status="Queued")
    event["data"]["runTags"] = {"signalbox_retraining": "x"}
    told = RunNews().tell(delivery, event)
    assert told == "RunStatusChanged of signalbox-aaaaaaaa (Queued) is delivered: 202"


def _watched(
    told: Sequence[Told] = (), letters: Sequence[Letter] = (), published: Sequence[Event] = ()
) -> str:
    """Return what is shown of messages, letters and topics, and nothing else, at one look."""
    screen, shown = _screen(width=200)
    grid = SimpleNamespace(deliveries=[], published=lambda _: list(published))
    stack: Any = SimpleNamespace(event_grid=grid)
    channel: Any = SimpleNamespace(news=SimpleQueue())
    for message in told:
        channel.news.put(message)
    records: Any = SimpleNamespace(
        rollouts=list, loops=list, letters=lambda: list(letters), measured=tuple
    )
    Watch(stack, channel, cast(Any, SimpleNamespace(switches=[])), records, screen).look()
    return shown.getvalue()


def test_an_event_that_a_reaction_publishes_is_shown():
    fields = {"id": "1", "type": "Contoso.ModelLive", "source": "/s", "subject": "churn:8"}
    event = Event(Schema.CLOUD_EVENTS, "/t", {**fields, "time": "2026-03-01T12:00:00Z"})
    assert "gets Contoso.ModelLive of churn:8" in _watched(published=[event])


def test_of_bad_news_every_line_is_shown_but_the_link():
    text = "\n".join(
        [
            "Model: churn",
            "Serving now: churn-v1",
            "https://ml.azure.com/endpoints/realtime/churn/detail",
            "Last lines of the container's log:",
            "Starting",
            "ModuleNotFoundError: No module named 'sklearn'",
        ]
    )
    shown = _watched([Told(title="it failed", text=text, good=False, at=datetime.now(UTC))])
    assert "Serving now: churn-v1" in shown
    assert "No module named 'sklearn'" in shown
    assert "https://" not in shown
    assert "Model: churn" not in shown


def test_of_other_bad_news_only_the_reason_is_shown():
    text = "Reason: expected 200, got 500\nModel: churn\nhttps://ml.azure.com/endpoints"
    shown = _watched([Told(title="it failed", text=text, good=False, at=datetime.now(UTC))])
    assert "Reason: expected 200, got 500" in shown
    assert "Model: churn" not in shown


@pytest.mark.parametrize(
    ("status", "attempt", "order", "text"),
    [
        (LetterStatus.WAITING, 0, "", ""),
        (LetterStatus.WAITING, 1, "", "waits: it failed once, and is due again in 0.0 s"),
        (LetterStatus.WAITING, 0, "replayed by mia: now", "is due, as a person said"),
        (LetterStatus.CLOSED, 1, "", "was replayed, and is closed"),
        (LetterStatus.CLOSED, 0, "replayed by mia: now", "was replayed, and is closed"),
        (LetterStatus.CLOSED, 1, "closed by mia: a test", "is closed, as a person said"),
    ],
)
def test_what_a_person_orders_of_a_letter_is_told_as_that(
    status: LetterStatus, attempt: int, order: str, text: str
) -> None:
    now = datetime.now(UTC)
    letter = Letter(
        id="a",
        status=status,
        reaction="tell",
        code="channel.down",
        reason="",
        hint="",
        attempt=attempt,
        turn=2,
        due_at=now,
        created_at=now,
        about="RunCompleted r",
        body="{}",
        traceparent="",
        order=order,
    )
    shown = _watched(letters=[letter])
    assert (f"RunCompleted r {text}" if text else "") in shown
    assert bool(shown) is bool(text)
    assert (order in shown) is ("as a person said" in text or not order)


@pytest.mark.parametrize("tag", ["canary", "=canary", ""])
def test_a_tag_without_a_name_or_a_value_is_refused_and_not_dropped(tag: str) -> None:
    application = typer.Typer()
    application.command()(register.main)
    result = CliRunner().invoke(application, ["churn", "1", "--tag", tag])
    assert result.exit_code == 2
    assert "no name=value" in result.stderr


@pytest.mark.parametrize("error", [None, HttpResponseError("no such name\nCode: BadArgument")])
def test_what_the_workspace_says_of_a_model_is_told_on_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(register, "running_settings", dict)
    workspace: Any = Mock()
    workspace.return_value.register.side_effect = error
    monkeypatch.setattr(register, "Workspace", workspace)
    application = typer.Typer()
    application.command()(register.main)
    result = CliRunner().invoke(application, ["churn", "1", "--tag", "auc=0.9"])
    assert result.exit_code == (1 if error else 0)
    assert result.stderr == ("churn 1 is not registered: no such name\n" if error else "")
    told = "churn 1 is registered, tagged deploy=true, auc=0.9.\n"
    assert result.stdout == ("" if error else told)
