"""People are told what they need to know, and where to look."""

from dataclasses import replace

import pytest

from shared.rollouts.model import Notice, NoticeKind, Phase
from shared.rollouts.notices import notices_of, text_of
from tests.unit.test_decide import make_rollout

STUDIO = "https://ml.azure.com"


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_message_names_model_version_endpoint_and_studio(kind: NoticeKind) -> None:
    rollout = make_rollout(logs="Traceback")
    text = text_of(rollout, Notice(kind=kind, channel="team", reason="no pip"), studio=STUDIO)
    assert "churn 2" in text.title
    for line in ("Model: churn", "Version: 2", "Endpoint: churn", "Reason: no pip"):
        assert line in text.body
    assert text.body.endswith(
        "https://ml.azure.com/endpoints/realtime/churn/detail?wsid=" + rollout.workspace.id
    )
    assert text.good is (kind in (NoticeKind.STARTED, NoticeKind.LIVE))


def test_a_rollback_says_what_serves_now_and_shows_the_log() -> None:
    rollout = make_rollout(logs="No module named 'x'")
    notice = Notice(kind=NoticeKind.ROLLED_BACK, channel="team")
    body = text_of(rollout, notice, studio=STUDIO).body
    assert f"Serving now: {rollout.stable}" in body
    assert "No module named 'x'" in body
    first = text_of(replace(rollout, stable=""), notice, studio=STUDIO).body
    assert "Serving now: nothing" in first


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (Phase.CHECKING, Phase.ENDPOINT, NoticeKind.STARTED),
        (Phase.CHECKING, Phase.DEPLOYMENT, NoticeKind.STARTED),
        (Phase.CHECKING, Phase.REFUSED, NoticeKind.FAILED),
        (Phase.SHIFTING, Phase.LIVE, NoticeKind.LIVE),
        (Phase.PROBING, Phase.ROLLING_BACK, NoticeKind.FAILED),
        (Phase.REMOVING, Phase.ROLLED_BACK, NoticeKind.ROLLED_BACK),
        (Phase.RETIRING, Phase.DONE, NoticeKind.ATTENTION),
        (Phase.ENDPOINT, Phase.DEPLOYMENT, None),
        (Phase.CHECKING, Phase.SUPERSEDED, None),
        (Phase.LIVE, Phase.RETIRING, None),
        (Phase.LIVE, Phase.DONE, None),
    ],
)
def test_each_turn_is_told_once_and_quiet_ones_are_not(
    before: Phase, after: Phase, kind: NoticeKind | None
) -> None:
    kinds = [notice.kind for notice in notices_of(make_rollout(before), after, "why")]
    assert kinds == ([] if kind is None else [kind])
