"""People are told what they need to know, once, and where to look or how to answer."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.rollouts.people.notices import (
    RolloutNoticeKind,
    kind_of,
    studio_link,
    text_of_rollout,
    with_notices_of,
)
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import STEPS, TRANSITIONS, Phase
from shared.rollouts.state.rollout import Cause, ModelRef
from shared.workspaces.model import EndpointKind
from tests.unit.rollouts import (
    OLD,
    change,
    make_measurement,
    make_rollout,
    with_plan,
    with_strategy,
)

STUDIO = "https://ml.azure.com"


def body_of(kind: RolloutNoticeKind, **changes: object) -> str:
    """Return the body of a message of this kind."""
    rollout = change(make_rollout(Phase.KEEPING), **changes)
    return text_of_rollout(rollout, kind, "").body


@pytest.mark.parametrize("kind", RolloutNoticeKind)
def test_every_message_names_model_version_endpoint_and_studio(kind: RolloutNoticeKind) -> None:
    rollout = make_rollout(logs="Traceback")
    rollout = replace(rollout, link=studio_link(rollout, STUDIO))
    text = text_of_rollout(rollout, kind, "no pip")
    assert "churn 2" in text.title
    for line in ("Model: churn", "Version: 2", "Endpoint: churn", "Reason: no pip"):
        assert line in text.body.splitlines()
    link = "https://ml.azure.com/endpoints/realtime/churn/detail?wsid=" + rollout.workspace.id
    assert link in text.body.splitlines()


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        (RolloutNoticeKind.STARTED, True),
        (RolloutNoticeKind.LIVE, True),
        (RolloutNoticeKind.APPROVAL, None),
        (RolloutNoticeKind.HELD, None),
        (RolloutNoticeKind.FAILED, False),
        (RolloutNoticeKind.ROLLED_BACK, False),
        (RolloutNoticeKind.ATTENTION, False),
    ],
)
def test_a_message_is_good_news_bad_news_or_a_question(
    kind: RolloutNoticeKind, good: bool | None
) -> None:
    text = text_of_rollout(make_rollout(), kind, "")
    assert text.good is good


@pytest.mark.parametrize(
    ("cause", "title"),
    [
        (None, "churn 2 failed on churn"),
        (Cause.FAILED, "churn 2 failed on churn"),
        (Cause.ABORTED, "churn 2 was aborted on churn"),
        (Cause.SUPERSEDED, "churn 2 gives way to a newer version on churn"),
        (Cause.NOT_BETTER, "churn 2 is not better than the live version on churn"),
    ],
)
def test_why_it_goes_back_is_in_the_title(cause: Cause | None, title: str) -> None:
    text = text_of_rollout(make_rollout(cause=cause), RolloutNoticeKind.FAILED, "")
    assert text.title == title


def test_where_the_model_is_not_known_the_deployment_is_named() -> None:
    rollout = make_rollout(model=ModelRef(id="", name="", version=""))
    text = text_of_rollout(rollout, RolloutNoticeKind.LIVE, "")
    assert text.title == f"{rollout.deployment} is live on churn"


def test_a_rollback_says_what_serves_now_and_shows_the_log() -> None:
    body = body_of(RolloutNoticeKind.ROLLED_BACK, logs="No module named 'x'")
    assert body.endswith("\nLast lines of the container's log:\nNo module named 'x'")
    assert f"Serving now: {OLD}" in body
    assert "No module named 'x'" in body
    assert "Serving now: nothing" in body_of(RolloutNoticeKind.ROLLED_BACK, stable="")


def test_a_rollback_says_how_long_the_deployment_is_kept() -> None:
    kept = with_strategy(make_rollout(Phase.KEEPING), keep_failed=timedelta(hours=2))
    line = f"Kept for 2h, without traffic: {kept.deployment}"
    back = RolloutNoticeKind.ROLLED_BACK
    assert line in text_of_rollout(kept, back, "").body
    for other in (replace(kept, phase=Phase.REMOVING), with_plan(kept, creates=False)):
        assert "Kept for" not in text_of_rollout(other, back, "").body


@pytest.mark.parametrize(
    ("kind", "orders"),
    [
        (RolloutNoticeKind.APPROVAL, ["approve", "abort"]),
        (RolloutNoticeKind.HELD, ["resume", "retry", "promote", "abort"]),
        (RolloutNoticeKind.FAILED, []),
        (RolloutNoticeKind.LIVE, []),
    ],
)
def test_a_message_that_asks_says_how_to_answer(kind: RolloutNoticeKind, orders: list[str]) -> None:
    body = body_of(kind, id="0123456789abcdef")
    lines = [line for line in body.splitlines() if "signalbox" in line]
    assert lines == [
        f'To {order}: signalbox rollouts {order} 01234567 --why "reason"' for order in orders
    ]


@pytest.mark.parametrize(
    "kind", [RolloutNoticeKind.LIVE, RolloutNoticeKind.APPROVAL, RolloutNoticeKind.HELD]
)
def test_what_an_observed_gate_would_have_done_is_told(kind: RolloutNoticeKind) -> None:
    observed = make_measurement(GateOutcome.FAIL, detail="cpu at 90%", observe=True)
    measured = (
        observed,
        make_measurement(GateOutcome.FAIL, detail="errors"),
        make_measurement(GateOutcome.PASS, detail="latency", observe=True),
    )
    body = body_of(kind, measured=measured)
    assert "Would have failed, but is only observed: cpu at 90%" in body
    assert body.count("only observed") == 1
    assert "only observed" not in body_of(RolloutNoticeKind.FAILED, measured=measured)


TOLD: Mapping[tuple[Phase, Phase], RolloutNoticeKind | None] = {
    **{
        (Phase.CHECKING, step): RolloutNoticeKind.STARTED
        for step in STEPS
        if step != Phase.APPROVING
    },
    (Phase.CHECKING, Phase.ENDPOINT): RolloutNoticeKind.STARTED,
    (Phase.CHECKING, Phase.DEPLOYMENT): RolloutNoticeKind.STARTED,
    # Tried again and turned away: what REFUSED is of others.
    (Phase.CHECKING, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.QUEUED, Phase.KEEPING): RolloutNoticeKind.FAILED,
    (Phase.ROLLING_BACK, Phase.KEEPING): RolloutNoticeKind.ROLLED_BACK,
    (Phase.ROLLING_BACK, Phase.REMOVING): RolloutNoticeKind.ROLLED_BACK,
    # That it goes back was told when it began to.
    (Phase.STEPPING_DOWN, Phase.STEPPING_DOWN): None,
    (Phase.STEPPING_DOWN, Phase.ROLLING_BACK): None,
}
ENTERED: Mapping[Phase, RolloutNoticeKind] = {
    Phase.REFUSED: RolloutNoticeKind.FAILED,
    Phase.HELD: RolloutNoticeKind.HELD,
    Phase.APPROVING: RolloutNoticeKind.APPROVAL,
    Phase.LIVE: RolloutNoticeKind.LIVE,
    Phase.STEPPING_DOWN: RolloutNoticeKind.FAILED,
    Phase.ROLLING_BACK: RolloutNoticeKind.FAILED,
}
TURNS = [(before, after) for before in Phase for after in TRANSITIONS[before]]


@pytest.mark.parametrize(("before", "after"), TURNS)
def test_each_turn_is_told_once_and_quiet_ones_are_not(before: Phase, after: Phase) -> None:
    kind = TOLD.get((before, after), ENTERED.get(after))
    assert kind_of(make_rollout(after), before, "") is kind


@pytest.mark.parametrize(
    ("before", "after"), [(Phase.RETIRING, Phase.DONE), (Phase.REMOVING, Phase.ROLLED_BACK)]
)
def test_what_could_not_be_deleted_is_told(before: Phase, after: Phase) -> None:
    reason = f"{OLD} could not be deleted: denied"
    (notice,) = with_notices_of(make_rollout(after), before, reason).notices
    assert notice.text == text_of_rollout(make_rollout(after), RolloutNoticeKind.ATTENTION, reason)
    assert with_notices_of(make_rollout(after), before, "").notices == ()


def test_every_channel_is_told_with_the_reason_there_is() -> None:
    back = make_rollout(Phase.ROLLING_BACK, reason="before")
    rollout = with_plan(back, channels=("team", "ops"))
    for reason, line in (("why", "Reason: why"), ("", "Reason: before")):
        (notice,) = with_notices_of(rollout, Phase.PROBING, reason).notices
        assert notice.attempts == {"team": 0, "ops": 0}
        assert line in notice.text.body.splitlines()
    assert with_notices_of(with_plan(back, channels=()), Phase.PROBING, "why").notices == ()


def test_a_rollback_that_left_it_its_traffic_needs_a_look() -> None:
    before = Phase.ROLLING_BACK
    for after in (Phase.KEEPING, Phase.REMOVING):
        rollout = make_rollout(after, split={"other": 100})
        stayed = change(rollout, split={rollout.deployment: 100})
        assert kind_of(rollout, before, "why") is RolloutNoticeKind.ROLLED_BACK
        assert kind_of(stayed, before, "why") is RolloutNoticeKind.ATTENTION
        shift = with_plan(stayed, creates=False)
        assert kind_of(shift, before, "why") is RolloutNoticeKind.ROLLED_BACK


def test_a_message_that_asks_says_the_split_and_what_the_gates_measured() -> None:
    measured = (
        make_measurement(GateOutcome.TOO_FEW, detail="9 requests"),
        make_measurement(GateOutcome.FAIL, detail="cpu at 90%", observe=True),
    )
    for kind in (RolloutNoticeKind.APPROVAL, RolloutNoticeKind.HELD):
        lines = body_of(kind, measured=measured).splitlines()
        assert f"Traffic: {OLD} 100%" in lines
        assert "Gate error_rate, too_few: 9 requests" in lines
        assert not any("Gate" in line and "cpu" in line for line in lines)


@pytest.mark.parametrize(
    ("attempt", "creates", "title"),
    [
        (0, True, "churn 2: rollout started on churn"),
        (1, True, "churn 2: rollout started again on churn"),
        (0, False, "churn 2: shift of traffic started on churn"),
    ],
)
def test_what_was_begun_is_in_the_title(attempt: int, creates: bool, title: str) -> None:
    rollout = with_plan(make_rollout(retries=attempt), creates=creates)
    assert text_of_rollout(rollout, RolloutNoticeKind.STARTED, "").title == title


def test_a_batch_endpoint_has_a_page_of_its_own_kind() -> None:
    rollout = with_plan(make_rollout(), kind=EndpointKind.BATCH)
    assert "https://ml.azure.com/endpoints/batch/churn/detail" in studio_link(rollout, STUDIO)
