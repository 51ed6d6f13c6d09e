"""`signalbox rollouts`, against the app's own storage."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from manage import app
from shared.rollouts.engine import advance
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.services import Services
from tests.unit.rollouts import NEW, NOW, OLD, change
from tests.unit.test_forecast import make_rollout, ready_made
from tests.unit.test_rollout_view import AT_A_TENTH, measured, tell

CANARY = tell(ready_made("canary"), *AT_A_TENTH, split={OLD: 90, NEW: 10})


@pytest.fixture
def services(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The app's services; ann is the one who gives orders."""
    monkeypatch.setenv("SIGNALBOX_USER", "ann")
    return services


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, words)


def keep(services: Services, rollout: Rollout | None = None) -> Rollout:
    """Keep a rollout under an id of its own: a canary at 10%, unless another is given."""
    kept = replace(rollout or CANARY, id=uuid4().hex)
    services.rollouts.store.add(kept)
    return kept


def kept(services: Services, rollout: Rollout) -> Rollout:
    """Return the rollout as it is kept now."""
    found = services.rollouts.store.get(rollout.partition, rollout.id)
    assert found is not None
    return found.value


def document(*words: str) -> Any:
    """Return what a command prints as JSON."""
    return json.loads(run(*words, "--json").output)


def test_rollouts_that_have_not_ended_are_listed_with_where_they_are(services: Services) -> None:
    rollout = keep(services, make_rollout(step=2, share=10, trouble="workspace.busy: wait"))
    ended = keep(services, make_rollout(Phase.DONE))
    listed = {item["id"] for item in document("rollouts", "list")}
    assert rollout.id in listed
    assert ended.id not in listed
    assert ended.id in {item["id"] for item in document("rollouts", "list", "--all")}
    assert "waits for, or why" in run("rollouts", "list", "--all").output
    (row,) = [
        line for line in run("rollouts", "list").output.splitlines() if rollout.id[:8] in line
    ]
    for cell in (
        "churn 2",
        "holding",
        "3/7 hold",
        "new 10%",
        "a verdict of the gates",
        "busy: wait",
    ):
        assert cell in row


def test_a_rollout_is_drawn_with_what_was_measured_and_no_control_characters(
    services: Services,
) -> None:
    rollout = keep(services, change(CANARY, trouble="\x1b[2J\x07gone"))
    look = measured(GateOutcome.PASS, 2, 8)
    services.rollouts.store.add_measurements(rollout, (look,))
    shown = run("rollouts", "show", rollout.id[:12])
    assert shown.exit_code == 0
    assert "▶  3 hold 15m      █░░░░░░░░░  10%" in shown.output
    assert "new 2.5%  stable 0.1%  p 0.41 ≥ 0.0012" in shown.output
    assert "Microsoft.Insights" not in shown.output
    assert "Microsoft.Insights" in run("rollouts", "show", rollout.id, "--measurements").output
    assert not {"\x1b", "\x07"} & set(shown.output)


def test_for_programs_there_is_all_of_it_and_what_comes_next(services: Services) -> None:
    rollout = keep(services)
    services.rollouts.store.add_measurements(rollout, (measured(GateOutcome.FAIL, 2, 8),))
    shown = document("rollouts", "show", rollout.id)
    assert shown["phase"] == "holding"
    assert shown["plan"]["strategy"]["name"] == "canary"
    assert [item["outcome"] for item in shown["measurements"]] == ["fail"]
    assert shown["measurements"][0]["queries"]
    assert shown["next"][0]["what"] == "the gates decide, then traffic 50%, then hold 15m"
    assert shown["next"][-1]["phase"] == "done"


ORDERS: list[tuple[tuple[str, ...], Phase, Order, str]] = [
    (
        ("pause",),
        Phase.HOLDING,
        Order(kind=OrderKind.PAUSE, by="ann", why="so", at=NOW),
        "Ordered: pause. Within seconds the rollout stops where it is",
    ),
    (
        ("resume",),
        Phase.HELD,
        Order(kind=OrderKind.RESUME, by="ann", why="so", at=NOW),
        "Ordered: resume. Within seconds the rollout begins its current step again",
    ),
    (
        ("promote",),
        Phase.HOLDING,
        Order(kind=OrderKind.PROMOTE, by="ann", why="so", at=NOW),
        "Ordered: promote. Within seconds the rollout goes on to its next step",
    ),
    (
        ("promote", "--to-end"),
        Phase.HELD,
        Order(kind=OrderKind.PROMOTE, by="ann", why="so", at=NOW, to_end=True),
        "Ordered: promote to the end. Within seconds the rollout goes on to its last split",
    ),
    (
        ("approve",),
        Phase.APPROVING,
        Order(kind=OrderKind.APPROVE, by="ann", why="so", at=NOW),
        "Ordered: approve. Within seconds the rollout goes on to its next step",
    ),
    (
        ("abort",),
        Phase.LIVE,
        Order(kind=OrderKind.ABORT, by="ann", why="so", at=NOW),
        "Ordered: abort. Within seconds the rollout rolls back",
    ),
    (
        ("retry",),
        Phase.ROLLED_BACK,
        Order(kind=OrderKind.RETRY, by="ann", why="so", at=NOW),
        "Ordered: retry. Within seconds the rollout tries again",
    ),
]


@pytest.mark.parametrize(
    ("words", "phase", "order", "said"), ORDERS, ids=[" ".join(row[0]) for row in ORDERS]
)
def test_an_order_is_kept_with_who_and_why_and_a_tick_is_sent_for(
    services: Services, words: tuple[str, ...], phase: Phase, order: Order, said: str
) -> None:
    rollout = keep(services, make_rollout(phase, step=2))
    result = run("rollouts", words[0], rollout.id[:12], *words[1:], "-m", "so")
    assert result.exit_code == 0
    assert result.output.startswith(said)
    (found,) = kept(services, rollout).orders
    assert replace(found, at=NOW) == order
    texts = [message.text for message in services.queues.receive(advance.QUEUE)]
    assert rollout.id in {json.loads(text)["rollout"] for text in texts}


def test_who_says_so_is_whoever_is_signed_in_unless_another_is_named(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = keep(services)
    run("rollouts", "pause", rollout.id, "--why", "one", "--by", "bob")
    run("rollouts", "pause", rollout.id, "--why", "two")
    monkeypatch.delenv("SIGNALBOX_USER")
    monkeypatch.setenv("LOGNAME", "carol")
    given = document("rollouts", "pause", rollout.id, "--why", "three")
    assert [(order["by"], order["why"]) for order in given["orders"]] == [
        ("bob", "one"),
        ("ann", "two"),
        ("carol", "three"),
    ]


def test_what_is_impossible_is_said_on_a_line_with_what_is_possible(services: Services) -> None:
    rollout = keep(services, make_rollout(Phase.HELD, step=2))
    result = run("rollouts", "approve", rollout.id, "-m", "so")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "rollout.order: approve: the rollout is held",
        "Now it takes resume, promote, abort, retry.",
    ]
    assert not kept(services, rollout).orders


@pytest.mark.parametrize("kind", OrderKind)
def test_every_order_takes_a_reason_and_the_rollout_that_it_is_for(
    services: Services, kind: OrderKind
) -> None:
    assert run("rollouts", kind, "abc").exit_code == 2
    result = run("rollouts", kind, "zzz", "-m", "so")
    assert result.exit_code == 1
    assert "there is no rollout zzz" in result.output
