"""The values of `publish` and `topics:`: what the loader takes, and what it finds wrong."""

import pytest

from shared.actions import ACTIONS
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


def findings_of(
    values: str, topics: str = "[news]", fault: str = "", outcomes: str = ""
) -> list[str]:
    """Load a reaction with these values of `publish` and return what is wrong with it."""
    text = (
        f"version: 1\nworkspaces: ['{ID}']\ntopics: {topics}\nreactions:\n"
        f"  - name: tell\n    on: ModelRegistered\n    do:\n      - publish: {values}\n"
    )
    found = {"news": (fault, "Set it.")} if fault else {}
    try:
        loaded = load_reactions(
            text,
            actions=ACTIONS,
            settings={"SIGNALBOX_OUTCOMES_TOPIC": outcomes},
            find_topic_fault=found.get,
        )
    except ReactionsFaulty as error:
        return [item.message for item in error.findings]
    return [item.message for item in loaded.warnings]


RESERVED = "`type` can't begin with `Microsoft.` or `Signalbox.`"
ILLEGAL = "`type` should be letters, digits, `.`, `_` and `-`, a letter first, at most"


@pytest.mark.parametrize(
    ("values", "findings"),
    [
        ("{topic: news, type: Contoso.ModelLive}", []),
        ("{topic: news, type: a, subject: x, data: {n: [1, {a: null}], t: 'x'}}", []),
        ("{topic: news, type: '${{ model.tags.kind }}', data: '${{ model.tags }}'}", []),
        ("{topic: news, type: Microsoft.Storage.BlobCreated}", [RESERVED]),
        ("{topic: news, type: signalbox.OutcomeRecorded}", [RESERVED]),
        ("{topic: news, type: a b}", [ILLEGAL]),
        ("{topic: news, type: a, data: [1]}", ["`data` should be a mapping, found a list"]),
        ("{topic: news}", ["`publish` needs `type`"]),
        ("{topic: newz, type: a}", ["`topic` names 'newz', and there is no such topic"]),
        (
            "{topic: 'https://h/api/events', type: a}",
            ["`topic` should be the name of a topic, not its endpoint"],
        ),
    ],
)
def test_which_values_publish_takes(values: str, findings: list[str]) -> None:
    found = findings_of(values)
    assert len(found) == len(findings), found
    for one, other in zip(found, findings, strict=True):
        assert one.startswith(other)


@pytest.mark.parametrize(
    ("topics", "finding"),
    [
        ("[news, news]", "topic 'news' is here twice"),
        ("[news, Team]", "a topic can't be called 'Team'"),
        ("[news, news-key]", "a topic can't be called 'news-key'"),
        ("[news, news_schema]", "a topic can't be called 'news_schema'"),
        ("[news, 'h.westeurope-1.eventgrid.azure.net']", "the endpoint of a topic does not"),
        ("https://h/api/events", "the endpoint of a topic does not"),
        ("[news, other]", "no reaction uses topic 'other'"),
    ],
)
def test_which_topics_a_file_may_declare(topics: str, finding: str) -> None:
    (found,) = findings_of("{topic: news, type: a}", topics)
    assert found.startswith(finding)


def test_a_topic_whose_setting_is_not_usable_is_a_warning() -> None:
    fault = "the app setting `SIGNALBOX_TOPIC_NEWS` is not set"
    assert findings_of("{topic: news, type: a}", fault=fault) == [fault]


@pytest.mark.parametrize(
    ("outcomes", "findings"),
    [
        ("", []),
        ("other", []),
        ("news", ["the setting is not set"]),
        ("https://u:hunter2@h/", ["the app setting `SIGNALBOX_OUTCOMES_TOPIC` is no name of a"]),
    ],
)
def test_a_topic_for_outcomes_that_is_not_usable_is_a_warning(
    outcomes: str, findings: list[str]
) -> None:
    values = "{topic: other, type: a}"
    found = findings_of(values, "[other]", "the setting is not set", outcomes)
    assert [one[: len(other)] for one, other in zip(found, findings, strict=True)] == findings
    assert "hunter2" not in str(found)
