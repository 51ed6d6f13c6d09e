"""`signalbox loops`, against the app's own storage."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from typer.testing import CliRunner, Result

from manage import app
from shared.base.errors import Disposition, Failure
from shared.events.model import DriftState, Metric, Workspace
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import EventRef
from shared.retraining.model import (
    Decision,
    Loop,
    LoopStatus,
    PolicyAnswer,
    Retraining,
    SignalSeen,
    Stage,
    Window,
)
from shared.services import Services

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
REF = EventRef(key="k" * 64, id="w1", type="DriftDetected", time=NOW, source="/ws", about="m:w1")


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, words)


def make_loop(monitor: str, **changes: object) -> Loop:
    """Return a loop that waits for a person, in the middle of a story."""
    metric = Metric(name="psi", value=0.3, threshold=0.2, feature="age\x1b[31m", effect=0.5)
    seen = SignalSeen(state=DriftState.BREACH, metrics=(metric,))
    loop = Loop(
        reaction="retrain-churn",
        workspace=Workspace(subscription="s", resource_group="g", name="w"),
        monitor=monitor,
        model="churn",
        windows=(Window(id="w1", at=NOW, signals={"data_drift": seen}),),
        decisions=(Decision(window="w1", at=NOW, answer=PolicyAnswer.ASK, reason="psi is 0.3"),),
        retrainings=(
            Retraining(
                id="a" * 32,
                window="w1",
                ref=REF,
                step="retrain-churn/retrain",
                target='{"job":{"file":"jobs/churn.yaml"}}',
                stage=Stage.ASKED,
                decided_at=NOW,
                changed_at=NOW,
                timeout_at=NOW + timedelta(days=1),
            ),
        ),
    )
    return replace(loop, **changes)  # type: ignore[arg-type]


def keep(services: Services, loop: Loop) -> str:
    """Keep a loop, and return its id."""
    return services.loops.store.save(loop, "").value.id


def test_a_loop_is_listed_and_shown_with_its_whole_story(services: Services) -> None:
    loop_id = keep(services, make_loop("churn-1"))
    listed = run("loops", "list")
    assert loop_id[16:24] in listed.output
    assert LoopStatus.WAITING in listed.output
    shown = run("loops", "show", loop_id[16:26])
    for part in ("window w1: data_drift breach -> ask: psi is 0.3", "jobs/churn.yaml", "asked"):
        assert part in shown.output
    assert "\x1b" not in shown.output
    (data,) = [
        item for item in json.loads(run("loops", "list", "--json").output) if item["id"] == loop_id
    ]
    assert data["status"] == "waits for a person"
    assert json.loads(run("loops", "show", loop_id, "--json").output)["monitor"] == "churn-1"


def test_a_window_is_shown_before_what_was_begun_for_it(services: Services) -> None:
    loop = make_loop("churn-0")
    ahead = replace(loop.windows[0], at=NOW + timedelta(hours=1))  # as a clock that runs ahead
    shown = run("loops", "show", keep(services, replace(loop, windows=(ahead,)))).output
    assert shown.index("window w1") < shown.index("decided; target")


def test_an_approval_is_kept_with_who_and_why_and_wakes_the_letter(services: Services) -> None:
    loop_id = keep(services, make_loop("churn-2"))
    failure = Failure(code="retrain.approval", disposition=Disposition.ASK, reason="waits")
    letter = services.dead_letters.bury("{}", failure, reaction="retrain-churn", ref=REF)
    assert run("loops", "approve", loop_id, "--by", "mia", "--why", "it is real").exit_code == 0
    kept = services.loops.store.get(loop_id)
    assert kept is not None
    last = kept.value.last
    assert last is not None
    assert (last.stage, last.by, last.why) == (Stage.STARTING, "mia", "it is real")
    found = services.dead_letters.get(letter.id)
    assert found is not None
    assert found.status is LetterStatus.WAITING
    again = run("loops", "approve", loop_id, "--by", "mia", "--why", "x")
    assert again.exit_code == 1
    assert "no retraining" in again.output


def test_a_rejection_closes_the_letter(services: Services) -> None:
    loop_id = keep(services, make_loop("churn-3"))
    failure = Failure(code="retrain.approval", disposition=Disposition.ASK, reason="waits")
    letter = services.dead_letters.bury("{}", failure, reaction="retrain-churn", ref=REF)
    assert run("loops", "reject", loop_id, "--by", "mia", "--why", "a sensor").exit_code == 0
    found = services.dead_letters.get(letter.id)
    assert found is not None
    assert (found.status, found.order) == (LetterStatus.CLOSED, "rejected by mia: a sensor")


def test_a_loop_that_gave_up_goes_on_when_a_person_says_so(services: Services) -> None:
    loop_id = keep(services, make_loop("churn-4", gave_up_at=NOW, retrainings=()))
    assert run("loops", "resume", loop_id, "--by", "mia", "--why", "new features").exit_code == 0
    kept = services.loops.store.get(loop_id)
    assert kept is not None
    assert kept.value.status is not LoopStatus.GAVE_UP
    assert kept.value.resumed_by == "mia: new features"
    again = run("loops", "resume", loop_id, "--by", "mia", "--why", "x")
    assert again.exit_code == 1
    assert f"loop.order: loop {loop_id} has not given up" in again.output


def test_without_loops_or_with_a_wrong_id_it_says_so(services: Services) -> None:
    assert run("loops", "show", "zzz").exit_code == 1
