"""The rules file that people may change while the demo runs, with the mistakes in it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from commands.check import check_text
from shared.actions import ACTIONS


class Rules:
    """A rules file, looked at for changes."""

    def __init__(self, path: Path, root: Path, settings: Mapping[str, str]) -> None:
        """Watch the file at `path` of the app at `root`."""
        self.path = path
        self._root = root
        self._settings = settings
        self._text = self._read()

    def changes(self) -> Iterator[tuple[str, str]]:
        """Yield, if the file has changed since the last look, its summary and its findings."""
        text = self._read()
        if text == self._text:
            return
        self._text = text
        if text is None:
            yield f"{self.path.name} can't be read", ""
            return
        checked = check_text(
            text,
            ACTIONS,
            self._settings,
            self.path.name,
            lambda name: (self._root / name).is_file(),
        )
        findings = [
            f"line {finding.line}: {finding.message}"
            + (f". {finding.hint}" if finding.hint else "")
            for finding in checked.findings
        ]
        yield checked.summary, "\n".join(findings)

    def _read(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
