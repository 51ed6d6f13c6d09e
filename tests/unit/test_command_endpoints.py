"""`signalbox endpoints orphans`, on the twins of the workspaces and of the storage."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner, Result

from manage import app
from shared.base.errors import WorkspaceDenied
from shared.events.model import Workspace
from shared.orphans.schema import Orphans
from shared.reactions.model import Reactions
from shared.services import Services
from tests.unit.test_orphans import DAY, NOW, OTHER, RULES, WS, Bench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A watch over two workspaces; the commands find it, and the reactions file."""
    bench = Bench(RULES, WS, OTHER)
    reactions = Reactions(
        workspaces=(WS, OTHER), channels=("team",), reactions=(), orphans=Orphans()
    )
    monkeypatch.setattr(Services, "orphans", bench.watch, raising=False)
    monkeypatch.setattr(Services, "reactions", reactions)
    return bench


def run(*words: str) -> Result:
    """Run manage.py."""
    return CliRunner().invoke(app, ("endpoints", "orphans", *words))


def test_without_orphans_it_says_so(bench: Bench) -> None:
    result = run()
    assert (result.exit_code, result.output) == (0, "no orphans\n")
    assert run("--json").output == "[]\n"


def test_the_orphans_of_every_workspace_are_listed_with_their_cost(bench: Bench) -> None:
    bench.put("old")
    bench.put("older", endpoint="fraud", workspace=OTHER)
    bench.sweep()
    bench.clock.time += DAY
    bench.put("newest")
    lines = run().output.splitlines()
    head = "workspace endpoint deployment model instances state since cost note"
    assert lines[0].split() == head.split()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["w", "churn", "old"],
        ["w", "churn", "newest"],
        ["other", "fraud", "older"],
    ]
    for part in ("churn 1", "Standard_DS3_v2 x 2", "2026-03-02 09:00:00Z", "medium, 8 core-hours"):
        assert part in lines[1]
    assert lines[2].endswith("not seen before")


def test_a_younger_one_is_marked(bench: Bench) -> None:
    bench.put("old")
    bench.sweep()
    bench.clock.time += timedelta(hours=23)
    assert run().output.splitlines()[1].endswith("for less than 1d")
    (orphan,) = json.loads(run("--json").output)
    assert orphan["is_due"] is False


def test_programs_get_all_of_it_as_json(bench: Bench) -> None:
    bench.put("old")
    bench.sweep()
    bench.clock.time += DAY
    (orphan,) = json.loads(run("--json").output)
    assert orphan == {
        "workspace": WS.id,
        "endpoint": "churn",
        "kind": "managed",
        "deployment": "old",
        "state": "Succeeded",
        "model": "churn 1",
        "instance_type": "Standard_DS3_v2",
        "instance_count": 2,
        "is_ours": True,
        "since": NOW.isoformat(),
        "is_due": True,
        "trouble": "",
        "cost": {"size": "medium", "cores": 8},
    }


def test_a_workspace_that_can_t_be_read_is_said_after_the_others_were_listed(
    bench: Bench,
) -> None:
    bench.put("older", endpoint="fraud", workspace=OTHER)
    listed = bench.workspaces.list_endpoints

    def deny(workspace: Workspace) -> object:
        if workspace == WS:
            raise WorkspaceDenied("no \x1b[31mrole")
        return listed(workspace)

    bench.workspaces.list_endpoints = deny  # type: ignore[assignment, method-assign]
    result = run()
    assert result.exit_code == 1
    assert "fraud" in result.stdout
    assert "w: workspace.denied: no role" in result.stderr
    assert "sign in with `az login`" in result.stderr
    assert len(json.loads(run("--json").stdout)) == 1


def test_looking_changes_nothing(bench: Bench) -> None:
    bench.put("old")
    run()
    assert list(bench.tables.query("SignalboxOrphans")) == []
