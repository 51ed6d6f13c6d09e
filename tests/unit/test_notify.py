"""The values of `notify`: what the loader takes, and what it finds wrong with the others."""

from datetime import timedelta
from textwrap import indent

import pytest

from shared.actions import ACTIONS
from shared.actions.notify.params import NotifyParams
from shared.base.words import ordinal
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


def findings_of(values: str, on: str = "RunStatusChanged") -> list[str]:
    """Load a reaction with these values of `notify` and return what is wrong with it."""
    text = (
        f"version: 1\nworkspaces: ['{ID}']\nchannels: [team]\nreactions:\n"
        f"  - name: tell\n    on: {on}\n    do:\n"
        f"      - notify:\n          channel: team\n          title: it\n"
        + indent(values, " " * 10)
    )
    try:
        load_reactions(text, actions=ACTIONS, settings={})
    except ReactionsFaulty as error:
        return [f"{item.line - 10}: {item.message}" for item in error.findings]
    return []


@pytest.mark.parametrize("on", ["RunStatusChanged", "RunCompleted"])
def test_the_details_of_a_run_are_for_events_of_runs(on: str) -> None:
    assert findings_of("run_details: true", on) == []


@pytest.mark.parametrize("on", ["ModelRegistered", "ModelDeployed", "DriftDetected"])
def test_the_details_of_a_run_can_be_told_of_no_other_event(on: str) -> None:
    assert findings_of("run_details: true", on) == [
        "1: `run_details`: only RunCompleted and RunStatusChanged events are of a run"
    ]
    assert findings_of("run_details: false", on) == []


def test_where_the_event_s_type_is_not_known_only_that_is_told() -> None:
    (finding,) = findings_of("run_details: true", "RunComplete")
    assert "there is no event type" in finding


@pytest.mark.parametrize(
    ("values", "findings"),
    [
        ("fold: {key: x}", []),
        ("fold: {key: '${{ run.id }}', within: 2d}", []),
        ("fold: {within: 1h}", ["1: `notify` needs `fold.key`"]),
        ("fold: {key: 3}", ["1: `fold.key` should be text, found 3"]),
        ("fold: yes please", ["1: `fold` should be a mapping, found 'yes please'"]),
        ("fold: {key: x, keys: y}", ["1: `notify` has no `fold.keys`"]),
        ("fold:\n  key: x\n  within: soon", ["3: `fold.within` should be a length of time"]),
        ("fold: {key: x, within: 59s}", ["1: `fold.within`: from 1m to 7d, found 59s"]),
        ("fold: {key: x, within: 8d}", ["1: `fold.within`: from 1m to 7d, found 8d"]),
        ("fold: {key: x, within: 1m}", []),
        ("fold: {key: x, within: 7d}", []),
        ("run_details: often", ["1: `run_details` should be true or false, found 'often'"]),
    ],
)
def test_which_values_a_fold_takes(values: str, findings: list[str]) -> None:
    found = findings_of(values)
    assert len(found) == len(findings)
    for one, other in zip(found, findings, strict=True):
        assert one.startswith(other)


def test_a_fold_lasts_an_hour_unless_it_says_otherwise() -> None:
    params = NotifyParams.model_validate({"channel": "c", "title": "t", "fold": {"key": "k"}})
    assert params.fold is not None
    assert params.fold.within == timedelta(hours=1)


@pytest.mark.parametrize(
    "word", ["2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th"]
)
def test_attempts_are_told_as_ordinals(word: str) -> None:
    assert ordinal(int(word[:-2])) == word
