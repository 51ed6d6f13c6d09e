"""Collects the findings in a document, each with its place."""

from dataclasses import dataclass, field, replace
from typing import Any

from shared.events.model import EventType
from shared.schema.document import Document, Mark, Path
from shared.schema.findings import Finding, Severity
from shared.schema.wording import cut, meant, printable, suggest


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
        file=mark.file,
    )


def said_place(mark: Mark) -> str:
    """Say where a place is."""
    return f"at {mark.file}:{mark.line}" if mark.file else f"on line {mark.line}"


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
    #: Values of which all is said; another error about one would be of the same cause.
    refused: set[Path] = field(default_factory=set)
    #: Texts that are not read as they are written, so that a character of one has no place.
    rewritten: set[Path] = field(default_factory=set)
    #: The places of values that are written elsewhere, such as defaults, by where they are read.
    origins: dict[Path, Path] = field(default_factory=dict)

    def refuse(
        self,
        path: Path,
        message: str,
        hint: str,
        *,
        reaction: str | None = None,
        key: bool = False,
    ) -> None:
        """Add the one error that there is about a value. Raises: TooManyFindings."""
        if path not in self.refused:
            self.error(path, message, hint, reaction=reaction, key=key)
            self.refused.add(path)

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
        path = self._origin(path)
        if path in self.refused:
            return
        if self._count(Severity.ERROR) >= FINDINGS_MAX:
            raise TooManyFindings
        offset = None if path in self.rewritten else offset
        mark = self.document.mark(path) if key else self.document.value_mark(path, offset)
        self._add(finding_at(mark, message, hint, reaction=reaction))

    def warn(self, path: Path, message: str, hint: str, *, key: bool = False) -> None:
        """Add a warning at a value, or at its key; beyond FINDINGS_MAX none is added."""
        if self._count(Severity.WARNING) >= FINDINGS_MAX:
            return
        path = self._origin(path)
        mark = self.document.mark(path) if key else self.document.value_mark(path)
        self._add(finding_at(mark, message, hint, severity=Severity.WARNING))

    def _add(self, finding: Finding) -> None:
        # A default that is wrong is so for each reaction that has it.
        known = self.findings if self.origins else ()
        if not any(replace(item, reaction=finding.reaction) == finding for item in known):
            self.findings.append(finding)

    def _origin(self, path: Path) -> Path:
        """Return the path at which a value is written, for the one at which it is read."""
        if not self.origins:
            return path
        above = (path[:length] for length in range(len(path), 0, -1))
        found = next((item for item in above if item in self.origins), None)
        return path if found is None else (*self.origins[found], *path[len(found) :])

    @property
    def has_errors(self) -> bool:
        """Whether an error was added."""
        return self._count(Severity.ERROR) > 0

    def _count(self, severity: Severity) -> int:
        return sum(finding.severity is severity for finding in self.findings)

    def line(self, path: Path) -> int:
        """Return the line of the value at the path."""
        return self.document.value_mark(path).line

    def where(self, path: Path) -> str:
        """Say where the value at the path is, such as "on line 3"."""
        return said_place(self.document.value_mark(path))

    def check_keys(
        self, data: dict[str, Any], path: Path, known: set[str], owner: str, who: str | None = None
    ) -> None:
        """Add an error for each key that is not among `known`.

        A key that was meant by one of them is refused: that it is missing is of the same cause.
        """
        unused = known - data.keys() or known
        strange = [key for key in data if key not in known]
        if len(strange) > _STRANGE_MAX:
            message = f"{owner} has {len(strange):,} keys that it can't have"
            self.error((*path, strange[0]), message, "Here is the first.", reaction=who, key=True)
            return
        for key in strange:
            hint = suggest(key, unused)
            message = f"{owner} has no `{cut(key)}`"
            self.error((*path, key), message, hint, reaction=who, key=True)
            self.refused.update((*path, name) for name in unused if hint == meant(name))


@dataclass(frozen=True, slots=True)
class Place:
    """The place of the loader: the reaction, the path, and the types of event."""

    reaction: str
    path: Path
    on: tuple[EventType, ...] | None = None
