"""No retraining is lost, doubled, or one too many, in any order of events."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.base.errors import (
    ApprovalMissing,
    ClaimHeld,
    CutOffAgain,
    LoopOrderImpossible,
    TargetDenied,
    TargetUnreachable,
)
from shared.base.ids import parse_reference
from shared.journal import letters, records
from shared.journal.letters import LetterStatus
from shared.retraining.budget import WEEK
from shared.retraining.model import Loop, LoopStatus, Retraining, Stage
from shared.retraining.targets import REFERENCE, Submission, Submitted, TargetRun, TargetStatus
from shared.rollouts.engine import advance
from tests.searching import examples
from tests.stories.kill import Killed, Ports, Replay
from tests.stories.world import (
    WORKSPACE,
    World,
    drift_detected,
    run_completed,
    run_status_changed,
)

REACTION = "retrain"
AT_ONCE, PER_WEEK = 1, 3
TIMEOUT = timedelta(hours=12)
HOUR = timedelta(hours=1)
MONITORS = ("one", "two", "asked")

REACTIONS = f"""
version: 1
workspaces: ["{WORKSPACE.id}"]
channels: [team]
reactions:
  - name: {REACTION}
    on: DriftDetected
    do:
      - retrain:
          target: {{job: {{file: jobs/churn.yaml}}}}
          model: churn
          mode: ${{{{ drift.monitor == 'asked' && 'approve' || 'auto' }}}}
          policy: {{at_once: {AT_ONCE}, per_week: {PER_WEEK}, timeout: 12h, cooldown: 1h,
                    quiet: false, give_up_after: 4}}
          notify: [team]
  - name: deploy-tagged-models
    on: ModelRegistered
    when: is_true(model.tags.deploy)
    do:
      - deploy: {{endpoint: churn, instance_type: Standard_DS3_v2, keep_old: 30m}}
"""

monitors = st.sampled_from(MONITORS)
#: A finding of a monitor: signal, state.
findings = st.sampled_from(
    [
        *[("data_drift", "breach")] * 4,
        ("prediction_drift", "breach"),
        ("data_quality", "breach"),
        ("data_drift", "recovered"),
        ("data_drift", "broken"),
    ]
)
troubles = st.sampled_from(["", "down", "lost", "denied"])
spans = st.sampled_from([1, 2, 11, 13, 30]).map(lambda hours: hours * HOUR)


class Target:
    """The twin of all targets, with the time of each start."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trouble = ""
        self.started_at: dict[str, datetime] = {}
        #: Runs whose start got no answer: the app may have taken the target for down since.
        self.lost: set[str] = set()
        self._submit = world.targets.submit
        world.targets.submit = self.submit  # type: ignore[method-assign]

    def submit(self, params: Any, submission: Submission) -> Submitted:
        """Start it, or fail as the trouble says."""
        if self.trouble == "down":
            raise TargetUnreachable("no answer")
        if self.trouble == "denied" and submission.id not in self.started_at:
            raise TargetDenied("the token is refused")
        self.started_at.setdefault(submission.id, self.world.clock.now())
        submitted = self._submit(params, submission)
        if self.trouble == "lost":
            self.lost.add(submission.id)
            raise TargetUnreachable("no answer")
        return submitted


class LoopsMachine(RuleBasedStateMachine):
    """The app, with everything that can happen to it as rules."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(REACTIONS)
        self.target = Target(self.world)
        self.ports = Ports(self.world)
        self.ports.calls.clear()
        self.pending: list[Callable[[], None]] = []
        self.events: list[dict[str, Any]] = []
        #: The findings of each window, by monitor and window.
        self.told: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self.known: set[str] = set()
        self.windows = self.versions = self.ends = 0

    def attempt(self, task: Callable[[], None]) -> bool:
        """Do something that the process may be killed at: it is done again later."""
        try:
            task()
        except Killed:
            self.ports.kill_at = None
            self.world.start_app()
            self.pending.append(task)
            return False
        return True

    def deliver(self, event: dict[str, Any]) -> None:
        """Have an event arrive."""

        def react() -> None:
            self.world.react.react(event)
            if event in self.events:
                data = event["data"]
                told = self.told.setdefault((data["monitor"], data["window"]["id"]), [])
                self.check_decisions()
                open_letters = self.world.letters.all(LetterStatus.WAITING)
                held = [one.about for one in open_letters if one.code == ClaimHeld.code]
                if f"DriftDetected {_about(event)}" not in held:
                    told.append((data["signal"], data["state"]))

        self.attempt(react)

    @rule(monitor=monitors, finding=findings, shift=st.sampled_from([0, 0, 0, -72, 5]))
    def tell_of_a_window(self, monitor: str, finding: tuple[str, str], shift: int) -> None:
        """A monitor tells of a new window, late, or by a clock that is ahead."""
        self.windows += 1
        self._tell(monitor, f"w{self.windows}", finding, shift)

    @precondition(lambda self: self.windows)
    @rule(monitor=monitors, finding=findings, back=st.integers(0, 3))
    def tell_more_of_a_window(self, monitor: str, finding: tuple[str, str], back: int) -> None:
        """A monitor tells of a further signal of a window."""
        self._tell(monitor, f"w{max(self.windows - back, 1)}", finding, 0)

    def _tell(self, monitor: str, window: str, finding: tuple[str, str], shift: int) -> None:
        time = self.world.clock.now() + shift * HOUR
        signal, state = finding
        metrics = [{"name": "psi", "value": 0.3, "threshold": 0.2}] if state == "breach" else []
        event = drift_detected(
            f"e{len(self.events)}",
            time,
            monitor=monitor,
            signal=signal,
            state=state,
            metrics=metrics,
            window={"id": window, "start": time.isoformat(), "end": time.isoformat()},
        )
        self.events.append(event)
        self.deliver(event)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        """An event is delivered a further time."""
        self.deliver(data.draw(st.sampled_from(self.events)))

    @precondition(lambda self: self.world.targets.started)
    @rule(data=st.data(), is_good=st.booleans(), is_lost=st.booleans())
    def end_a_run(self, data: st.DataObject, is_good: bool, is_lost: bool) -> None:
        """A run ends, or its end is told again; or nothing tells of it."""
        submission = data.draw(st.sampled_from(list(self.world.targets.started.values())))
        runs = self.world.targets.runs
        status = TargetStatus.SUCCEEDED if is_good else TargetStatus.FAILED
        status = runs.setdefault(submission.id, TargetRun(status=status)).status
        if is_lost:
            return
        self.ends += 1
        tags = {REFERENCE: submission.reference}
        time = self.world.clock.now()
        if status is TargetStatus.SUCCEEDED:
            event = run_completed(f"end-{self.ends}", time, submission.name, tags)
        else:
            event = run_status_changed(f"end-{self.ends}", time, "Failed")
            event["data"] |= {"runId": submission.name, "runTags": tags}
        self.deliver(event)

    @precondition(lambda self: self.world.targets.started)
    @rule(data=st.data())
    def tag_another_run(self, data: st.DataObject) -> None:
        """Somebody gives a run of their own the tag of a retraining."""
        submission = data.draw(st.sampled_from(list(self.world.targets.started.values())))
        self.ends += 1
        tags = {REFERENCE: submission.reference}
        self.deliver(run_completed(f"end-{self.ends}", self.world.clock.now(), "theirs", tags))

    @precondition(lambda self: self.world.targets.started)
    @rule(data=st.data(), deploy=st.booleans())
    def register_a_model(self, data: st.DataObject, deploy: bool) -> None:
        """A run registers a model: before it ends, after it, or twice."""
        submission = data.draw(st.sampled_from(list(self.world.targets.started.values())))
        self.versions += 1
        tags = {REFERENCE: submission.reference, "deploy": str(deploy).lower()}
        self.deliver(self.world.register("churn", str(self.versions), **tags))

    @rule(span=spans, is_swept=st.booleans())
    def pass_time(self, span: timedelta, is_swept: bool) -> None:
        """Time passes, and what is due is done."""
        self.world.clock.pass_time(span)
        self.hand_out()
        if is_swept:
            self.attempt(self.world.sweep.run)

    @rule()
    def hand_out(self) -> None:
        """Hand out all that is due: ticks of rollouts, letters, messages that were not taken."""
        tasks, self.pending = self.pending, []
        for task in tasks:
            self.attempt(task)
        for text in self.world.queues.take(advance.QUEUE):
            self.attempt(lambda text=text: self.world.rollouts.advance(text, redelivered=True))
        for text in self.world.queues.take(letters.QUEUE):
            self.attempt(Replay(self.world, text))

    @rule(trouble=troubles)
    def change_the_target(self, trouble: str) -> None:
        """The target goes down, loses answers, refuses, or is well."""
        self.target.trouble = trouble

    @rule(calls=st.integers(1, 12), when=st.sampled_from(["before", "after"]))
    def kill_soon(self, calls: int, when: str) -> None:
        """The process is killed at one of the next calls."""
        self.ports.kill_at = (len(self.ports.calls) + calls, when)

    @precondition(lambda self: self.with_status(LoopStatus.WAITING))
    @rule(is_yes=st.booleans())
    def answer(self, is_yes: bool) -> None:
        """A person says yes or no, from a machine that may die as well."""
        (loop,) = self.with_status(LoopStatus.WAITING)
        say = self.world.approvals.approve if is_yes else self.world.approvals.reject
        try:
            say(loop, by="mia", why="so it is")
        except Killed:
            self.ports.kill_at = None
        except LoopOrderImpossible:
            assert is_yes, "its letter is not written yet"

    @precondition(lambda self: self.with_status(LoopStatus.GAVE_UP))
    @rule()
    def resume(self) -> None:
        """A person says to go on."""
        self.attempt(
            lambda: (
                [
                    self.world.approvals.resume(loop, by="mia", why="mended")
                    for loop in self.with_status(LoopStatus.GAVE_UP)
                ]
                and None
            )
        )

    @precondition(lambda self: any(self.world.letters.all(LetterStatus.PARKED)))
    @rule()
    def replay_what_is_parked(self) -> None:
        """A person replays every letter that waits for one."""
        for letter in self.world.letters.all(LetterStatus.PARKED):
            self.attempt(lambda letter=letter: self.world.letters.reopen(letter) and None)
        self.hand_out()

    def loops(self) -> list[Loop]:
        """Return every loop."""
        return [kept.value for kept in self.world.loops.store.all()]

    def with_status(self, status: LoopStatus) -> list[Loop]:
        """Return the loops that stand there."""
        return [loop for loop in self.loops() if loop.status is status]

    def retraining_of(self, submission: Submission) -> Retraining:
        """Return the retraining that a submission is of: there is always one."""
        ids = parse_reference(submission.reference)
        assert ids is not None
        kept = self.world.loops.store.get(ids[0])
        assert kept is not None
        found = kept.value.find(ids[1])
        assert found is not None
        return found

    def is_running(self, submission: Submission) -> bool:
        """Say whether a run has not ended, and has not had its time."""
        if submission.id in self.world.targets.runs:
            return False
        now, retraining = self.world.clock.now(), self.retraining_of(submission)
        assert retraining.timeout_at is not None
        if submission.id in self.target.lost and now > retraining.timeout_at:
            return False
        age = now - self.target.started_at[submission.id]
        return age <= TIMEOUT and not retraining.reason.startswith("still")

    def check_decisions(self) -> None:
        """Hold what was just decided against what had been told by then."""
        for loop in self.loops():
            for item in loop.retrainings:
                if item.id in self.known:
                    continue
                self.known.add(item.id)
                told = self.told.get((loop.monitor, item.window), [])
                assert ("data_quality", "breach") not in told
                window = loop.seen(item.window)
                assert window is not None
                assert "breach" in {seen.state for seen in window.signals.values()}
                assert "data_quality" not in window.signals

    @invariant()
    def never_more_run_than_may(self) -> None:
        """Of the reaction, over all of its monitors, as the target counts them."""
        started = self.world.targets.started.values()
        assert sum(self.is_running(submission) for submission in started) <= AT_ONCE

    @invariant()
    def never_more_are_started_in_a_week_than_may(self) -> None:
        """In any seven days, as the target counts them."""
        times = sorted(self.target.started_at.values())
        for time in times:
            assert sum(time <= other < time + WEEK for other in times) <= PER_WEEK

    @invariant()
    def a_window_is_retrained_once(self) -> None:
        """However many signals it has, and however often it is told of."""
        for loop in self.loops():
            windows = [item.window for item in loop.retrainings if item.stage is not Stage.REJECTED]
            assert len(windows) == len(set(windows))

    @invariant()
    def what_runs_is_known_to_run(self) -> None:
        """A run that has not ended is one that its loop knows of, and not as ended."""
        for submission in self.world.targets.started.values():
            if self.is_running(submission):
                assert self.retraining_of(submission).may_run

    def teardown(self) -> None:
        """Let everything come to rest, and look whether all of it did."""
        self.ports.kill_at, self.target.trouble = None, ""
        self.hand_out()
        self.check_records()
        for _ in range(6):
            for letter in self.world.letters.all(LetterStatus.PARKED):
                if letter.code == CutOffAgain.code:  # a person sees that it was none of its own
                    self.world.letters.reopen(letter)
            self.world.settle(until=lambda: not self._is_open(), most=2_000)
            for submission in self.world.targets.started.values():
                run = TargetRun(status=TargetStatus.SUCCEEDED)
                self.world.targets.runs.setdefault(submission.id, run)
            self.world.clock.pass_time(8 * timedelta(days=1))
            self.world.sweep.run()
        self.world.settle()
        assert self.pending == []
        self.check_rest()

    def _is_open(self) -> bool:
        return any(self.world.letters.all(LetterStatus.WAITING))

    def check_rest(self) -> None:
        """Nothing waits but for people; what ended holds no place; every drift is on record."""
        letters = self.world.all_letters()
        assert [one for one in letters if one.status is LetterStatus.WAITING] == []
        asked = [loop for loop in self.loops() if loop.status is LoopStatus.WAITING]
        parked = [one for one in letters if one.status is LetterStatus.PARKED]
        waiting = [one for one in parked if one.code == ApprovalMissing.code]
        assert len(waiting) <= len(asked), "what was answered waits no more"
        for loop in self.loops():
            assert [item for item in loop.retrainings if item.may_run] == []
            assert loop.notices == ()
        budget = self.world.loops.store.budget(REACTION).value
        assert [slot for slot in budget.slots if not slot.ended] == []

    def check_records(self) -> None:
        """Every drift has an outcome on record."""
        abouts = {str(row.values["about"]) for row in self.world.rows(records.TABLE)}
        assert {_about(event) for event in self.events} <= abouts


def _about(event: dict[str, Any]) -> str:
    data = event["data"]
    return f"{data['monitor']}:{data['window']['id']}:{data['signal']}"


LoopsMachine.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=40)
TestLoopsMachine = LoopsMachine.TestCase
