"""The loader takes the examples of the pages on the rules file, or refuses them as they say."""

import re
from pathlib import Path
from textwrap import indent

import pytest

from shared.actions import ACTIONS
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGE = "".join(
    (_REFERENCE / name).read_text(encoding="utf-8")
    for name in ("reactions.md", "strategies.md", "check.md")
)
_READY_MADE = "all-at-once:"
#: Each YAML example, with the findings that follow it, if any.
EXAMPLES = [
    (example, findings)
    for example, findings in re.findall(
        r"```yaml\n(.*?)```\n(?:```text\n(.*?)```\n)?", PAGE, re.DOTALL
    )
    if not example.startswith(_READY_MADE)
]
#: The examples that are files of one folder, which begin with their names.
FOLDER = {
    example.partition("\n")[0]: example for example, _ in EXAMPLES if example.startswith("# rules/")
}
ID = (
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/main"
)


def findings_of(example: str) -> str:
    """Load an example and return its findings.

    It may be only the reactions of a file, or one of the files of a folder.
    """
    if example.startswith("rollouts:"):
        example = f"version: 1\nworkspaces: []\nreactions: []\n{example}"
    if example.startswith("- "):
        head = "version: 1\nworkspaces: ['%SIGNALBOX_WORKSPACE%']\nchannels: [team]\nreactions:\n"
        example = head + indent(example, "  ")
    try:
        text = FOLDER if example in FOLDER.values() else example
        load_reactions(text, actions=ACTIONS, settings={"SIGNALBOX_WORKSPACE": ID})
    except ReactionsFaulty as error:
        told = (
            f"{item.message}\n" + (f"  {item.hint}\n" if item.hint else "")
            for item in error.findings
            if item.severity == "error"
        )
        return "".join(told)
    return ""


def test_the_page_has_examples_that_load_and_examples_that_do_not() -> None:
    assert sum(not findings for _, findings in EXAMPLES) >= 2
    assert sum(bool(findings) for _, findings in EXAMPLES) >= 6


@pytest.mark.parametrize(("example", "findings"), EXAMPLES)
def test_each_example_has_the_findings_that_the_page_tells(example: str, findings: str) -> None:
    assert findings_of(example) == findings
