"""The stories. Each checks its end in the workspace, the channel and the tables."""

from collections.abc import Callable
from dataclasses import dataclass

from demo.canary import GOLDEN, bad_canary, good_canary
from demo.drift import drift
from demo.play import Play
from demo.stage import APP_ROOT
from sandbox.event_grid.disorder import Disorder
from sandbox.stack import SYSTEM_TOPIC
from shared.journal.letters import Letter, LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout

_STEP = "deploy-tagged-models/deploy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A story: what it promises, and how it is told. Telling it returns what happened."""

    title: str
    opening: str
    promise: str
    tell: Callable[[Play], str]


def first_version(play: Play) -> str:
    """Register churn 1: an endpoint is made, the deployment is proved, and it goes live."""
    play.register("1", signalbox_probe_request=GOLDEN, auc="0.84")
    rollout = play.until_phase("1", Phase.DONE)
    play.until_told("churn 1: rollout started on churn", "churn 1 is live on churn")
    play.check_serves(rollout.deployment)
    answers = _answers(play, rollout.deployment)
    fact = f"it answered {GOLDEN} before it had any traffic"
    play.check(fact, answers == {200: 1}, answers)
    _check_outcome(play, "1", OutcomeStatus.DONE)
    return f"{rollout.deployment} serves on a new endpoint; two messages to the team"


def second_version(play: Play) -> str:
    """Register churn 2 while a customer asks: traffic moves, and the old one goes later."""
    old = play.rollouts_of("1")[0].deployment
    url, token = play.workspace.scoring_url("churn"), play.workspace.scoring_token()
    play.screen.line("requests", "a customer asks the endpoint, ten times a second")
    play.customer.start(url, token, (APP_ROOT / GOLDEN).read_bytes())
    play.until(f"{old} to answer", lambda: play.customer.serving == old)
    play.register("2", signalbox_probe_request=GOLDEN, auc="0.86")
    rollout = play.until_phase("2", Phase.LIVE)
    play.until("the new one to answer", lambda: play.customer.serving == rollout.deployment)
    play.check_serves(rollout.deployment, others={old: "1"})
    rollout = play.until_phase("2", Phase.DONE)
    kept = _seconds_in(rollout, Phase.LIVE)
    wanted = rollout.plan.keep_old.total_seconds()
    play.check(f"{old} was kept for {kept:.1f} s", kept >= wanted, f"less than {wanted:g} s")
    play.check_serves(rollout.deployment)
    requests = play.check_nothing_failed()
    return f"from {old} to {rollout.deployment}: {requests}; the old one is deleted"


def crashing_version(play: Play) -> str:
    """Register churn 3, whose container crashes: it is rolled back, and people learn why."""
    stable = play.customer.serving
    play.stack.control.fail_deployment(model="churn", version="3")
    play.register("3", signalbox_probe_request=GOLDEN, auc="0.87")
    rollout = play.until_phase("3", Phase.ROLLED_BACK)
    play.until_told("churn 3 failed on churn", "churn 3 was rolled back on churn")
    play.check_serves(stable)
    told = next(each.text for each in play.channel.told if "rolled back" in each.title)
    cause = "No module named 'sklearn'"
    fact = f"the team was told why: {cause}"
    play.check(fact, rollout.reason in told and cause in told, told)
    _check_outcome(play, "3", OutcomeStatus.FAILED)
    play.check_nothing_failed()
    return f"{rollout.deployment} is gone, {stable} served throughout; the team knows why"


def duplicates(play: Play) -> str:
    """Deliver the event of churn 2 three times more, all at once: nothing changes."""
    event = play.event_of("2")
    before = _traces(play)
    play.stack.event_grid.set_disorder(Disorder(duplicate=3))
    play.stack.event_grid.publish(SYSTEM_TOPIC, [event])
    play.stack.event_grid.set_disorder(Disorder())
    play.screen.line("event", "Event Grid delivers the event of churn 2 again, 3 times")

    def deliveries() -> int:
        record = play.records.of_event(event)
        return record.deliveries if record else 0

    play.until("the deliveries to be on record", lambda: deliveries() >= 4)
    play.until("the app to be idle", play.stack.host.idle)
    play.linger(2)
    play.check("on record: one event, delivered 4 times", deliveries() == 4, deliveries())
    after = _traces(play)
    changed = [name for name in before if before[name] != after[name]]
    play.check("no rollout, letter, message or write to ARM was added", not changed)
    play.check_serves(play.customer.serving)
    return "3 more deliveries are on record; nothing was done"


def outage(play: Play) -> str:
    """Take the workspace away just when churn 4 is announced: a letter waits, and is replayed."""
    old = play.customer.serving
    play.stack.event_grid.set_disorder(Disorder(delay=1.5))
    play.register("4", signalbox_probe_request=GOLDEN, auc="0.88")
    with play.outage():
        letter = play.until("a letter that failed twice", lambda: _letter(play, failures=2))
        fact = f"in the table: letter {letter.status}, of {letter.reaction}"
        play.check(fact, letter.status is LetterStatus.WAITING)
        play.check("nothing of churn 4 was begun", not play.rollouts_of("4"))
    play.stack.event_grid.set_disorder(Disorder())
    rollout = play.until_phase("4", Phase.LIVE)
    play.until_told("churn 4 is live on churn")
    play.until("churn 4 to answer", lambda: play.customer.serving == rollout.deployment)
    play.until("the letter to be closed", lambda: _is_closed(play, letter))
    play.check("the letter is closed, and churn 4 has one rollout", len(play.rollouts_of("4")) == 1)
    play.check_serves(rollout.deployment, others={old: "2"})
    _check_outcome(play, "4", OutcomeStatus.DONE)
    requests = play.check_nothing_failed()
    return f"a letter waited, was replayed, and {rollout.deployment} is live; {requests}"


STORIES = (
    Story(
        title="1. A tagged model goes live",
        opening="A data scientist registers churn 1 with azure-ai-ml. Nobody does anything else.",
        promise="an endpoint, a deployment that has answered a golden request, then traffic",
        tell=first_version,
    ),
    Story(
        title="2. A new version takes over",
        opening="churn 2 is set up beside churn 1 and takes over while a customer keeps asking.",
        promise="not one failed request; the old deployment is kept, then deleted",
        tell=second_version,
    ),
    Story(
        title="3. A version that crashes",
        opening="The container of churn 3 lacks a package and crashes at its start.",
        promise="rolled back by itself; reason and last log lines told",
        tell=crashing_version,
    ),
    Story(
        title="4. The same event again",
        opening="Event Grid delivers at least once. Here it delivers churn 2 three times more.",
        promise="nothing is done twice",
        tell=duplicates,
    ),
    Story(
        title="5. The workspace is away",
        opening="churn 4 is registered; before its event arrives, the workspace is gone.",
        promise="the event waits as a letter and is replayed when that helps",
        tell=outage,
    ),
    Story(
        title="6. The data drifts",
        opening="What customers send changes, and a model monitor sees it. The app does the rest.",
        promise="drift that lasts is retrained once; what is better goes live, and has to help",
        tell=drift,
    ),
    Story(
        title="7. A canary",
        opening=(
            "churn 6 is to be rolled out by steps: 10%, 50%, 100% of what many customers ask, each"
            " held while the gates measure."
        ),
        promise="each split only after the gates let it pass; not one failed request",
        tell=good_canary,
    ),
    Story(
        title="8. A bad one, caught at 10%",
        opening="churn 7 takes three times as long to answer, and fails one request in 20.",
        promise="it never gets more than 10%; traffic goes back, and is seen to be back",
        tell=bad_canary,
    ),
)


def _answers(play: Play, deployment: str) -> dict[int, int]:
    """Return how often a deployment gave each HTTP status, as the workspace has measured it."""
    counts: dict[int, int] = {}
    for minute in play.stack.control.measurements():
        if minute["deployment"] == deployment:
            for item in minute["statuses"]:
                counts[item["status"]] = counts.get(item["status"], 0) + item["count"]
    return counts


def _check_outcome(play: Play, version: str, status: OutcomeStatus) -> None:
    record = play.records.of_event(play.event_of(version))
    outcome = record.outcomes.get(_STEP) if record else None
    detail = (outcome.code or outcome.detail) if outcome else ""
    fact = f"on record: {status}, {detail}"
    play.check(fact, outcome is not None and outcome.status is status, outcome)


def _seconds_in(rollout: Rollout, phase: Phase) -> float:
    """Return how long the rollout was in a phase that it has left."""
    times = [moment.at for moment in rollout.history]
    index = next(i for i, moment in enumerate(rollout.history) if moment.phase is phase)
    return (times[index + 1] - times[index]).total_seconds()


def _traces(play: Play) -> dict[str, object]:
    """Return everything that an event handled twice would add to."""
    play.watch.look()
    return {
        "rollouts": [(each.id, each.phase) for each in play.watch.rollouts],
        "letters": [(each.id, each.turn) for each in play.watch.letters],
        "messages": play.channel.titles(),
        "writes": play.writes(),
    }


def _letter(play: Play, *, failures: int) -> Letter | None:
    return next((each for each in play.watch.letters if each.attempt >= failures), None)


def _is_closed(play: Play, letter: Letter) -> bool:
    return any(
        each.id == letter.id and each.status is LetterStatus.CLOSED for each in play.watch.letters
    )
