"""Two spellings of one id are one id, and a character that only looks like it is another."""

from typing import Any

import pytest

from shared.actions.register.action import _require_own
from shared.base.errors import EventMalformed, ParamsInvalid
from shared.events.alerts import parse_alert
from shared.events.model import Workspace, read_workspace
from shared.reactions.match import as_listed
from shared.reactions.model import Reactions
from shared.retraining.addresses import find_fault

#: `str.lower` turns the first into k, and a pattern without case takes the second for s.
LOOKALIKES = {"KELVIN SIGN": ("k", "\u212a"), "LONG S": ("s", "\u017f")}
OURS = Workspace(subscription="sk", resource_group="sk", name="sk")
SAME = Workspace(subscription="SK", resource_group="Sk", name="sK")


def others() -> list[Workspace]:
    """Return workspaces that are called as ours but for one character."""
    fields = ("subscription", "resource_group", "name")
    own = {field: getattr(OURS, field) for field in fields}
    return [
        Workspace(**{**own, field: own[field].replace(plain, like)})
        for plain, like in LOOKALIKES.values()
        for field in fields
    ]


def alert_about(*targets: str) -> dict[str, Any]:
    """Return the data of an alert about these resources."""
    return {
        "essentials": {
            "alertId": "/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/a",
            "alertRule": "r",
            "severity": "Sev1",
            "monitorCondition": "Fired",
            "firedDateTime": "2026-01-02T00:00:00Z",
            "alertTargetIDs": list(targets),
        }
    }


def test_a_workspace_is_known_by_every_spelling_of_its_id() -> None:
    reactions = Reactions(workspaces=(OURS,), channels=(), reactions=())
    assert as_listed(reactions, SAME) is OURS
    assert read_workspace(SAME.id.upper()) is not None


@pytest.mark.parametrize("other", others(), ids=ascii)
def test_a_workspace_that_only_looks_like_a_listed_one_is_foreign(other: Workspace) -> None:
    assert as_listed(Reactions(workspaces=(OURS,), channels=(), reactions=()), other) is None


@pytest.mark.parametrize("like", [like for _, like in LOOKALIKES.values()], ids=ascii)
def test_no_word_of_an_id_is_written_with_another_character(like: str) -> None:
    assert read_workspace(OURS.id.replace("workspaces", f"wor{like}paces")) is None
    assert read_workspace(OURS.id.replace("/subscriptions", f"/{like}ubscriptions")) is None


@pytest.mark.parametrize("other", others(), ids=ascii)
def test_an_address_in_a_workspace_that_looks_like_ours_is_of_another(other: Workspace) -> None:
    assert find_fault(f"{SAME.id}/data/d/versions/1", OURS, ()) == ""
    assert find_fault(f"{other.id}/data/d/versions/1", OURS, ()) != ""


def test_the_host_of_an_address_is_written_in_plain_letters() -> None:
    assert find_fault("https://KAGGLE.com/x", OURS, ["kaggle.com"]) == ""
    assert find_fault("https://\u212aaggle.com/x", OURS, ["kaggle.com"]) != ""


@pytest.mark.parametrize("other", others(), ids=ascii)
def test_a_datastore_of_a_workspace_that_looks_like_ours_is_of_another(other: Workspace) -> None:
    def path_in(workspace: Workspace) -> str:
        group = f"{workspace.subscription}/resourcegroups/{workspace.resource_group}"
        inside = f"subscriptions/{group}/workspaces/{workspace.name}"
        return f"azureml://{inside}/datastores/d/paths/x"

    run: Any = type("Run", (), {"id": "r"})
    _require_own(path_in(SAME), run, OURS)
    with pytest.raises(ParamsInvalid):
        _require_own(path_in(other), run, OURS)


def test_an_alert_names_the_deployment_of_the_workspace_that_it_is_about_and_of_no_other() -> None:
    for other in others():
        try:
            workspace, alert = parse_alert(
                alert_about(OURS.id, f"{other.id}/onlineEndpoints/theirs/deployments/d")
            )
        except EventMalformed:
            continue
        assert workspace == OURS.id
        assert (alert.endpoint, alert.deployment) == ("", "")
