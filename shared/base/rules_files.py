"""Reads the rules: one file, or the files of a folder."""

import errno
from pathlib import Path

_ENDINGS = frozenset({".yaml", ".yml"})


def read_rules(path: Path, source: str) -> str | dict[str, str]:
    """Return the text of a file, or those of the YAML files of a folder, in order of their names.

    Each file of a folder is named after `source`, which is the folder's name in messages.

    Raises: OSError, UnicodeDecodeError.
    """
    if not path.is_dir():
        return path.read_text(encoding="utf-8")
    files = sorted(
        item
        for item in path.iterdir()
        if item.suffix in _ENDINGS and not item.name.startswith(".") and item.is_file()
    )
    if not files:
        raise FileNotFoundError(errno.ENOENT, "there is no *.yaml in the folder", str(path))
    return {f"{source}/{item.name}": item.read_text(encoding="utf-8") for item in files}
