"""Findings in a file that people write: message, hint and place."""

from dataclasses import dataclass
from enum import StrEnum

from shared.base import errors


class Severity(StrEnum):
    """Whether the file can be used with a finding."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One mistake in a reactions file, with its place and a hint.

    Lines and columns count from 1. `reaction` is None if the finding is about no single reaction.
    `file` is the file's name where there are several.
    """

    line: int
    column: int | None
    reaction: str | None
    message: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    file: str = ""

    def describe(self, source: str) -> str:
        """Return the finding on one line, after the name of the file."""
        place = f"{self.file or source}:{self.line}" + (f":{self.column}" if self.column else "")
        who = f" reaction '{self.reaction}':" if self.reaction else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}:{who} {self.message}.{hint}"


class ReactionsFaulty(errors.ReactionsInvalid):
    """The reactions file has errors; `findings` holds all of them, and the warnings."""

    def __init__(self, source: str, findings: tuple[Finding, ...]) -> None:
        faults = [item for item in findings if item.severity is Severity.ERROR]
        count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
        lines = [f"{source} has {count}", *(item.describe(source) for item in faults)]
        super().__init__("\n".join(lines))
        self.source = source
        self.findings = findings
