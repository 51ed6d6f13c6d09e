"""The forms in which `signalbox check` prints findings for programs: GitHub's commands, SARIF."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from commands.common import visible

if TYPE_CHECKING:
    from shared.schema.findings import Finding


class Format(StrEnum):
    """A form of the findings."""

    TEXT = "text"  #: For people.
    JSON = "json"
    GITHUB = "github"  #: Workflow commands, which become annotations of a pull request.
    SARIF = "sarif"  #: SARIF 2.1.0, for code scanning.


_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_RULES = {
    "error": "A mistake: with it the file is not used, or a step of it fails.",
    "warning": "Something that is probably not meant, or a setting that is not there.",
}


def github_lines(source: str, findings: "Iterable[Finding]") -> Iterator[str]:
    """Yield a workflow command of GitHub Actions for each finding."""
    for it in findings:
        place = {"file": it.file or source, "line": str(it.line)}
        place |= {"col": str(it.column)} if it.column else {}
        place |= {"title": "signalbox check"}
        written = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in place.items())
        yield f"::{it.severity} {written}::{_escaped(_text(it))}"


def _escaped(text: str, more: str = "") -> str:
    """Escape a text as GitHub's own toolkit does; `more` are the signs of properties."""
    for sign in ("%", "\r", "\n", *more):
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def _text(finding: "Finding") -> str:
    who = f"reaction '{finding.reaction}': " if finding.reaction else ""
    lines = [who + finding.message, finding.hint]
    return "\n".join(visible(line) for line in lines if line)


def sarif(source: str, findings: "Iterable[Finding]", notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return the findings as a log of SARIF 2.1.0.

    Columns are counted in characters, as SARIF's "unicodeCodePoints" are.
    """
    rules = [
        {"id": f"signalbox/{name}", "shortDescription": {"text": text}}
        for name, text in _RULES.items()
    ]
    run = {
        "tool": {"driver": {"name": "signalbox check", "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(source, it) for it in findings],
    }
    if said := [{"level": "note", "message": {"text": note}} for note in notes]:
        run["invocations"] = [{"executionSuccessful": True, "toolExecutionNotifications": said}]
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(source: str, finding: "Finding") -> dict[str, Any]:
    region: dict[str, int] = {"startLine": finding.line}
    region |= {"startColumn": finding.column} if finding.column else {}
    return {
        "ruleId": f"signalbox/{finding.severity}",
        "level": str(finding.severity),
        "message": {"text": _text(finding)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": _artifact(finding.file or source),
                    "region": region,
                }
            }
        ],
    }


def _artifact(source: str) -> dict[str, str]:
    """Return the address of a file, below the root of the repository where it is."""
    path = Path(source)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": "%SRCROOT%"}
