"""Secrets in a reactions file: refused without being shown, since many read such a file."""

from collections.abc import Iterator
from typing import Any

from shared.base.redact import MARK, redact
from shared.schema.document import Path
from shared.schema.report import Report
from shared.schema.wording import (
    ADDRESS_IN_FILE,
    SECRET_IN_FILE,
    address_hint,
    holds_secret,
    is_address,
    secret_hint,
)

#: Keys that name channels, also in the values of actions.
_OF_CHANNELS = {"channels", "channel", "notify"}


def refuse_secrets(value: Any, report: Report, path: Path = ()) -> None:
    """Find secrets among the values: a file is kept in a repository, and read by many."""
    if not path and MARK not in redact("\n".join(_all_texts(value))):
        return  # as a whole it is searched much faster than value by value
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            refuse_secrets(item, report, (*path, key))
    elif isinstance(value, str) and _is_searched(path) and holds_secret(value):
        if _OF_CHANNELS.isdisjoint(path) or not is_address(value):
            report.refuse(path, SECRET_IN_FILE, secret_hint(value))
        else:
            report.refuse(path, ADDRESS_IN_FILE, address_hint([value]))


def _all_texts(value: Any) -> Iterator[str]:
    """Yield every text in a document's data."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _all_texts(item)
    elif isinstance(value, str):
        yield value


def _is_searched(path: Path) -> bool:
    """Return whether a secret is looked for here; some places have a better answer of their own."""
    has_own = "deploy" in path and not {"environment_variables", "tags"}.isdisjoint(path)
    return path[0] != "channels" and not has_own
