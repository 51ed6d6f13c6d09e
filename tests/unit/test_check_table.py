"""The mistakes of mistakes.txt: the exact answer to each, its place, and that it is the only one.

A block of that file is a change of a good file, `-` the lines before and `+` the lines after, and
what `check` answers: severity, line, column and message, and the hint below it. `set` and `unset`
change the app settings. `\\t` is a tab.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from commands.check import check_text
from shared.actions import ACTIONS
from shared.adapters.aml.job_files import find_job_faults
from shared.adapters.channels import find_channel_fault
from shared.adapters.targets.setting_faults import find_target_fault
from shared.schema.findings import Finding

FOLDER = Path(__file__).parent
GOOD = (FOLDER / "good_reactions.yaml").read_text(encoding="utf-8")
TABLE = (FOLDER / "mistakes.txt").read_text(encoding="utf-8")
APP_ROOT = FOLDER.parent.parent
SETTINGS = {
    "SIGNALBOX_CHANNEL_TEAMS": "json://localhost/teams",
    "SIGNALBOX_CHANNEL_MAIL": "json://localhost/mail",
    "SIGNALBOX_GITHUB_TOKEN": "github_pat_x",
}


@dataclass(frozen=True)
class Mistake:
    """One block of the table."""

    text: str
    settings: Mapping[str, str]
    answer: str
    name: str


def read(block: str) -> Mistake:
    """Read one block."""
    lines = block.splitlines()
    before, after = (
        "\n".join(line[2:] for line in lines if line.startswith(sign)).replace("\\t", "\t")
        for sign in ("- ", "+ ")
    )
    assert GOOD.count(before) >= 1 or not before, before
    changes = dict(line[4:].split("=", 1) for line in lines if line.startswith("set "))
    unset = [line[6:] for line in lines if line.startswith("unset ")]
    kept = {name: value for name, value in SETTINGS.items() if name not in unset}
    told = [line for line in lines if not line.startswith(("- ", "+ ", "set ", "unset "))]
    name = " ".join(line.strip() for line in lines if line.startswith(("+ ", "set ", "unset ")))
    text = GOOD.replace(before, after, 1) if before else GOOD
    return Mistake(text, kept | changes, "\n".join(told), name[:60])


MISTAKES = [read(block) for block in TABLE.strip().split("\n\n")]


def answer(text: str, settings: Mapping[str, str]) -> tuple[Finding, ...]:
    """Check a text as the command does, in the app's folder."""
    return check_text(
        text,
        ACTIONS,
        settings,
        has_file=lambda name: (APP_ROOT / name).is_file(),
        find_job_faults=lambda name, inputs: find_job_faults(APP_ROOT / name, inputs),
        find_channel_fault=partial(find_channel_fault, settings),
        find_target_fault=partial(find_target_fault, settings),
        files_in=lambda folder: [f"{folder}/churn.{'json' if folder == 'golden' else 'yaml'}"],
    ).findings


def written(findings: tuple[Finding, ...]) -> str:
    """Write findings as the table has them."""
    lines = []
    for it in findings:
        lines.append(f"{it.severity} {it.line}:{it.column or ''} {it.message}")
        lines += [f"  {it.hint}"] if it.hint else []
    return "\n".join(lines) or "right"


def test_the_good_file_is_right() -> None:
    assert written(answer(GOOD, SETTINGS)) == "right"
    assert written(answer("\ufeff" + GOOD.replace("\n", "\r\n"), SETTINGS)) == "right"


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_each_mistake_gets_one_answer_of_its_own(mistake: Mistake) -> None:
    assert written(answer(mistake.text, mistake.settings)) == mistake.answer


def test_no_answer_shows_a_secret() -> None:
    assert "+ " in TABLE
    assert not [it.name for it in MISTAKES if "hunter2" in it.answer or "ghp_" in it.answer]
