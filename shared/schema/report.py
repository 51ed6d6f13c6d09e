"""Collects the findings in a document, each with its place."""

from dataclasses import dataclass, field
from typing import Any

from shared.events.model import EventType
from shared.schema.document import Document, Mark, Path
from shared.schema.findings import Finding, Severity
from shared.schema.wording import cut, printable, suggest


def finding_at(
    mark: Mark,
    message: str,
    hint: str = "",
    *,
    reaction: str | None = None,
    severity: Severity = Severity.ERROR,
) -> Finding:
    """Return a finding at a place in the text."""
    return Finding(
        line=mark.line,
        column=mark.column,
        reaction=reaction,
        message=printable(message),
        hint=printable(hint),
        severity=severity,
    )


#: With more unknown keys than these, misspellings are unlikely.
_STRANGE_MAX = 50
#: Nobody reads more than these, and to find the place of each the whole text may be walked.
FINDINGS_MAX = 200


class TooManyFindings(Exception):
    """The file has so many mistakes that listing more would not help."""


@dataclass(frozen=True, slots=True)
class Report:
    """Collects findings; `error` and `warn` take a place in the document."""

    document: Document
    findings: list[Finding] = field(default_factory=list)

    def error(
        self,
        path: Path,
        message: str,
        hint: str = "",
        *,
        reaction: str | None = None,
        key: bool = False,
        offset: int | None = None,
    ) -> None:
        """Add an error at a value, at its key, or at one character in it.

        Raises: TooManyFindings.
        """
        if self._count(Severity.ERROR) >= FINDINGS_MAX:
            raise TooManyFindings
        mark = self.document.mark(path) if key else self.document.value_mark(path, offset)
        self.findings.append(finding_at(mark, message, hint, reaction=reaction))

    def warn(self, path: Path, message: str, hint: str, *, key: bool = False) -> None:
        """Add a warning at a value, or at its key; beyond FINDINGS_MAX none is added."""
        if self._count(Severity.WARNING) >= FINDINGS_MAX:
            return
        mark = self.document.mark(path) if key else self.document.value_mark(path)
        self.findings.append(finding_at(mark, message, hint, severity=Severity.WARNING))

    @property
    def has_errors(self) -> bool:
        """Whether an error was added."""
        return self._count(Severity.ERROR) > 0

    def _count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)

    def line(self, path: Path) -> int:
        """Return the line of the value at the path."""
        return self.document.value_mark(path).line

    def check_keys(
        self, data: dict[str, Any], path: Path, known: set[str], owner: str, who: str | None = None
    ) -> None:
        """Add an error for each key that is not among `known`."""
        unused = known - data.keys() or known
        strange = [key for key in data if key not in known]
        if len(strange) > _STRANGE_MAX:
            message = f"{owner} has {len(strange):,} keys that it can't have"
            self.error((*path, strange[0]), message, "Here is the first.", reaction=who, key=True)
            return
        for key in strange:
            self.error(
                (*path, key),
                f"{owner} has no `{cut(key)}`",
                suggest(key, unused),
                reaction=who,
                key=True,
            )


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the loader: the reaction, the path, and the types of event."""

    reaction: str
    path: Path
    on: tuple[EventType, ...] | None = None
