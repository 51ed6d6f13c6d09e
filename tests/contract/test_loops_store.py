"""The contract of the loops' store, on the twin's tables and on Azure's."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from shared.base.ports import RowChanged, Tables
from shared.events.breaches import judge_metric
from shared.events.model import DriftState, Workspace
from shared.journal.outcomes import EventRef
from shared.messages.notice import Notice, Text
from shared.retraining.budget import Budget, Slot
from shared.retraining.model import (
    DECISIONS_MAX,
    RETRAININGS_MAX,
    WINDOWS_MAX,
    Decision,
    Loop,
    PolicyAnswer,
    Retraining,
    SignalSeen,
    Stage,
    Window,
    loop_id,
)
from shared.retraining.params import PolicyParams
from shared.retraining.policy import learn
from shared.retraining.store import TABLE, LoopStore

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORKSPACE = Workspace(subscription="S-1", resource_group="rg", name="WS")
NOTICE = Notice(
    text=Text(title="churn has drifted", body="It has drifted.", good=False), attempts={"team": 1}
)


@pytest.fixture
def store(tables: Tables) -> LoopStore:
    return LoopStore(tables=tables)


@pytest.fixture
def reaction() -> str:
    """A reaction that no other test uses: Azurite's table outlives a test."""
    return f"retrain-{uuid.uuid4().hex}"


def make_retraining(stage: Stage = Stage.RUNNING, **values: Any) -> Retraining:
    return Retraining(
        **{"id": uuid.uuid4().hex, **values},
        window="w",
        ref=EventRef(key="k", id="e", type="DriftDetected", time=NOW, source=WORKSPACE.id),
        step="retrain",
        target='{"copy_of": {"experiment": "churn"}}',
        stage=stage,
        decided_at=NOW,
        changed_at=NOW,
    )


def make_loop(reaction: str, monitor: str = "churn", **values: Any) -> Loop:
    return Loop(reaction=reaction, workspace=WORKSPACE, monitor=monitor, **values)


def test_a_loop_comes_back_as_it_was_saved(store: LoopStore, reaction: str) -> None:
    metric = judge_metric("psi", 0.3, 0.2, "Größe 🚂")
    loop = make_loop(
        reaction,
        model="churn",
        channels=("team", "ops"),
        windows=(
            Window(
                id="w",
                at=NOW,
                start=NOW - timedelta(days=7),
                end=NOW,
                signals={
                    "": SignalSeen(state=DriftState.RECOVERED),
                    "drift": SignalSeen(state=DriftState.BREACH, metrics=(metric,)),
                    "quality": SignalSeen(state=DriftState.BROKEN, detail="no data"),
                },
            ),
        ),
        decisions=(Decision(window="w", at=NOW, answer=PolicyAnswer.RETRAIN, reason="psi is 0.3"),),
        retrainings=(
            make_retraining(Stage.LIVE, live_at=NOW, helped=False, judged_in="w", by="ada"),
        ),
        gave_up_at=NOW,
        resumed_at=NOW + timedelta(microseconds=1),
        notices=(NOTICE,),
        given_up="ops was not told",
    )
    kept = store.save(loop, "")
    assert kept.value == loop
    assert store.get(loop.id) == kept
    assert store.get_for(reaction, WORKSPACE, "churn") == kept


def test_a_loop_that_nobody_has_seen_is_new(store: LoopStore, reaction: str) -> None:
    kept = store.get_for(reaction, WORKSPACE, "churn")
    assert (kept.value, kept.etag) == (make_loop(reaction), "")
    assert store.get(kept.value.id) is None


def test_two_spellings_of_a_workspace_have_one_loop(store: LoopStore, reaction: str) -> None:
    store.save(make_loop(reaction), "")
    other = Workspace(subscription="s-1", resource_group="RG", name="ws")
    assert store.get_for(reaction, other, "churn").value.workspace == WORKSPACE


@pytest.mark.parametrize("bad", ["", "x", "a/b", "A" * 32, "é" * 32, "0" * 31 + "\n", "0" * 33])
def test_what_is_no_id_finds_nothing(store: LoopStore, bad: str) -> None:
    assert store.get(bad) is None


def test_only_one_of_two_makes_a_new_loop(store: LoopStore, reaction: str) -> None:
    first = store.save(make_loop(reaction, model="one"), "")
    with pytest.raises(RowChanged):
        store.save(make_loop(reaction, model="two"), "")
    assert store.get(first.value.id) == first


def test_a_loop_is_saved_only_as_it_was_read(store: LoopStore, reaction: str) -> None:
    first = store.save(make_loop(reaction), "")
    second = store.save(replace(first.value, model="one"), first.etag)
    with pytest.raises(RowChanged):
        store.save(replace(first.value, model="two"), first.etag)
    assert store.get(first.value.id) == second
    third = store.save(second.value, second.etag)
    assert third.etag != second.etag


def test_one_of_many_concurrent_saves_wins(store: LoopStore, reaction: str) -> None:
    kept = store.save(make_loop(reaction), "")
    barrier, won = Barrier(6, timeout=60), []

    def save(number: int) -> None:
        barrier.wait()
        try:
            won.append(store.save(replace(kept.value, model=str(number)), kept.etag))
        except RowChanged:
            return

    threads = [Thread(target=save, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert won == [store.get(kept.value.id)]


def test_what_is_to_be_done_is_found(store: LoopStore, reaction: str) -> None:
    ended = replace(make_retraining(Stage.LIVE), ended_at=NOW)
    quiet = make_loop(reaction, "quiet", retrainings=(ended, make_retraining(Stage.ASKED)))
    untold = make_loop(reaction, "untold", notices=(NOTICE,))
    running = make_loop(
        reaction,
        "running",
        retrainings=(make_retraining(Stage.REGISTERED), ended),
    )
    for loop in (quiet, untold, running):
        store.save(loop, "")
    store.save_budget(reaction, Budget(), "")

    def ours(found: Any) -> list[str]:
        return sorted(kept.value.monitor for kept in found if kept.value.reaction == reaction)

    assert ours(store.all()) == ["quiet", "running", "untold"]
    assert ours(store.untold()) == ["untold"]
    assert ours(store.running()) == ["running"]
    kept = store.get(untold.id)
    assert kept is not None
    store.save(replace(kept.value, notices=()), kept.etag)
    assert ours(store.untold()) == []


def test_a_reaction_s_budget_is_saved_only_as_it_was_read(
    store: LoopStore, tables: Tables, reaction: str
) -> None:
    new = store.budget(reaction)
    assert (new.value, new.etag) == (Budget(), "")
    budget = Budget(slots=(Slot(id="a" * 32, started_at=NOW), Slot(id="b", started_at=NOW)))
    first = store.save_budget(reaction, budget, "")
    assert store.budget(reaction) == first
    with pytest.raises(RowChanged):
        store.save_budget(reaction, Budget(), "")
    ended = replace(budget, slots=(replace(budget.slots[0], ended=True),))
    second = store.save_budget(reaction, ended, first.etag)
    with pytest.raises(RowChanged):
        store.save_budget(reaction, budget, first.etag)
    assert store.budget(reaction) == second
    assert store.budget(reaction + "x").value == Budget()
    store.save(make_loop(reaction), "")
    partition = loop_id(reaction, WORKSPACE, "")[:16]
    assert len(list(tables.query(TABLE, partition=partition))) == 2


def test_a_budget_is_written_only_where_a_change_makes_it_another(
    store: LoopStore, reaction: str
) -> None:
    slot = Slot(id="a" * 32, started_at=NOW)
    assert store.change_budget(reaction, lambda budget: budget).after is None
    assert store.change_budget(reaction, lambda _: Budget(slots=(slot,))).saved is not None
    assert store.change_budget(reaction, lambda budget: budget).saved is None
    assert store.budget(reaction).value.slots == (slot,)


def test_a_budget_of_the_largest_policy_has_room(store: LoopStore, reaction: str) -> None:
    slots = tuple(Slot(id=uuid.uuid4().hex, started_at=NOW, ended=True) for _ in range(1100))
    store.save_budget(reaction, Budget(slots=slots), "")
    assert store.budget(reaction).value.slots == slots


def fill(loop: Loop, signals: int, features: int, name: str) -> Loop:
    """Return the loop after sixty windows in each of which these signals and features drift."""
    metrics = tuple(
        judge_metric("normalized_wasserstein_distance", 0.2 + n / 7, 0.1, f"{name}{n:03}")
        for n in range(features)
    )
    seen = SignalSeen(state=DriftState.BREACH, metrics=metrics, detail=name)
    for number in range(WINDOWS_MAX):
        at = NOW + timedelta(days=number, microseconds=number)
        window = Window(
            id=str(uuid.uuid4()),
            at=at,
            start=at,
            end=at,
            signals={f"{name}{n}": seen for n in range(signals)},
        )
        loop = learn(PolicyParams(), loop, window, at)
    return loop


def test_sixty_windows_of_three_hundred_features_have_room(store: LoopStore, reaction: str) -> None:
    loop = fill(make_loop(reaction), 3, 300, "a_feature_with_quite_a_long_name_")
    for number in range(RETRAININGS_MAX):
        retraining = make_retraining(
            id=f"{number:032}", link="https://" + "x" * 500, reason="r" * 1000, verdict="v" * 300
        )
        loop = loop.with_retraining(retraining)
    for number in range(DECISIONS_MAX):
        loop = loop.with_decision(
            Decision(window=str(number), at=NOW, answer=PolicyAnswer.COOLDOWN, reason="r" * 300)
        )
    kept = store.save(loop, "")
    assert kept.value == loop
    assert len(kept.value.windows) == WINDOWS_MAX
    assert store.get(loop.id) == kept


def test_what_is_too_long_even_so_is_kept_without_its_oldest_windows(
    store: LoopStore, reaction: str
) -> None:
    loop = fill(make_loop(reaction), 10, 9, "🚂" * 100)
    kept = store.save(loop, "")
    assert 10 < len(kept.value.windows) < WINDOWS_MAX
    assert kept.value.windows == loop.windows[-len(kept.value.windows) :]
    assert store.get(loop.id) == kept
    again = store.save(kept.value, kept.etag)
    assert again.value == kept.value


def test_a_loop_whose_monitor_is_silent_is_found_and_removed_unless_somebody_waits(
    store: LoopStore, reaction: str
) -> None:
    seen = {"s": SignalSeen(state=DriftState.RECOVERED)}

    def keep(monitor: str, at: datetime, **values: Any) -> Loop:
        loop = Loop(reaction=reaction, workspace=WORKSPACE, monitor=monitor, **values)
        return store.save(loop.with_window(Window(id="w", at=at, signals=seen)), "").value

    old, new = NOW - timedelta(days=40), NOW
    silent = keep("silent", old)
    for loop in (
        keep("heard", new),
        keep("running", old, retrainings=(make_retraining(),)),
        keep("asked", old, retrainings=(make_retraining(Stage.ASKED),)),
        keep("given-up", old, gave_up_at=old),
        keep("untold", old, notices=(NOTICE,)),
    ):
        assert loop.id != silent.id
    before = NOW - timedelta(days=30)
    idle = [kept for kept in store.idle(before) if kept.value.reaction == reaction]
    assert [kept.value.monitor for kept in idle] == ["silent"]
    store.save(replace(silent, model="churn"), idle[0].etag)
    store.remove(idle[0])
    assert store.get(silent.id) is not None, "it has changed since it was read"
    (kept,) = (kept for kept in store.idle(before) if kept.value.reaction == reaction)
    store.remove(kept)
    assert store.get(silent.id) is None
