"""Merges the files of a folder into one reactions file; each value keeps its place."""

from collections.abc import Iterable
from typing import Any

from shared.schema.document import Document, Fault, Path
from shared.schema.report import said_place
from shared.schema.wording import cut, kind_of_value

#: The keys with values by name, of which each file may have some.
_BY_NAME = frozenset({"rollouts", "freezes", "vars", "defaults"})


def merge(documents: Iterable[Document]) -> tuple[Document, tuple[Fault, ...]]:
    """Return one document of all, and what can't be merged.

    Lists follow one another, and values by name stand side by side. Everything else can be in one
    file only, but for `version`, which is in each.
    """
    merger = _Merger()
    for document in documents:
        merger.add(document)
    return Document(value=merger.data, keys=merger.keys, nodes=merger.nodes), tuple(merger.faults)


class _Merger:
    """Adds one document after the other to the data, and notes what is there twice."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.keys: dict[Path, Any] = {}
        self.nodes: dict[Path, Any] = {}
        self.faults: list[Fault] = []

    def add(self, document: Document) -> None:
        """Add a document, as far as it can be merged."""
        data = document.value
        if not isinstance(data, dict):
            message = f"the file should be a mapping, found {kind_of_value(data)}"
            self._fault(document, (), message, "Begin with `version: 1`.")
            return
        if "version" not in data:
            self._fault(document, (), "`version:` is missing", "Begin with `version: 1`.")
        before = {key: len(item) for key, item in self.data.items() if isinstance(item, list)}
        left_out = {path for key in data for path in self._add_key(document, key)}

        def moved(path: Path) -> Path | None:
            if path[:1] in left_out or path[:2] in left_out:
                return None
            if len(path) > 1 and isinstance(path[1], int):
                return (path[0], path[1] + before.get(str(path[0]), 0), *path[2:])
            return path

        for ours, theirs in ((self.keys, document.keys), (self.nodes, document.nodes)):
            for path, place in theirs.items():
                if (target := moved(path)) is not None:
                    ours.setdefault(target, place)

    def _add_key(self, document: Document, key: str) -> list[Path]:
        """Add a value; return the paths of what is left out."""
        value, known = document.value[key], self.data.get(key)
        if key not in self.data:
            self.data[key] = dict(value) if isinstance(value, dict) else value
        elif isinstance(known, list) and isinstance(value, list):
            self.data[key] = [*known, *value]
        elif key in _BY_NAME and isinstance(known, dict) and isinstance(value, dict):
            twice = [name for name in value if name in known]
            for name in twice:
                self._twice(document, (key, name))
            self.data[key] = value | known
            return [(key, name) for name in twice]
        elif key != "version":
            self._twice(document, (key,))
            return [(key,)]
        elif value != known:
            message = f"`version:` differs from that {self._where((key,))}"
            self._fault(document, (key,), message, "Write `version: 1` in each file.")
        return []

    def _where(self, path: Path) -> str:
        return said_place(self.keys[path])

    def _twice(self, document: Document, path: Path) -> None:
        message = (
            f"`{cut('.'.join(map(str, path)))}` is here a second time, first {self._where(path)}"
        )
        self._fault(document, path, message, "Keep one of them.")

    def _fault(self, document: Document, path: Path, message: str, hint: str) -> None:
        self.faults.append(Fault(document.mark(path), message, hint))
