"""Values that targets send, and those of their answers that are kept."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.adapters.client import Answer
from shared.base.errors import TargetAbsent, TargetUnreachable
from shared.base.incoming import Json, objects_in
from shared.base.redact import redact
from shared.retraining.targets import Submission

#: How far a service's clock and ours may differ.
CLOCK_MARGIN = timedelta(minutes=5)
#: Only ids and addresses of an answer are kept.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_LINK = re.compile(
    r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]{0,1900})?"
)


def earliest_start(submission: Submission) -> datetime:
    """Return the time from which a run of a submission is looked for, by the service's clock."""
    return submission.since - CLOCK_MARGIN


def runs_in(answer: Answer, name: str, doing: str) -> list[Json]:
    """Return the runs of an answer's list. Raises: TargetUnreachable where there is no list."""
    if not isinstance(answer.body.get(name), list):
        raise TargetUnreachable(f"{doing}: the answer lists no runs")
    return [*objects_in(answer.body, name)]


def read_secret(environ: Mapping[str, str], name: str, doing: str) -> str:
    """Return an app setting that holds a secret; raise TargetAbsent where it holds none."""
    value = environ.get(name, "").strip()
    if not value:
        raise TargetAbsent(f"{doing}: the app setting {name} is not set")
    # The platform leaves this in the setting when it can't read the vault.
    if value.startswith("@Microsoft.KeyVault("):
        raise TargetAbsent(f"{doing}: the Key Vault reference of {name} does not resolve")
    if not value.isascii() or not value.isprintable():
        raise TargetAbsent(f"{doing}: the app setting {name} has characters that it can't have")
    return value


def as_text(value: object) -> str:
    """Return a value as YAML writes it, for services whose inputs are all text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def clean_id(value: object) -> str:
    """Return the id of a run, or "" for anything that is no id."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _ID.fullmatch(text) else ""


def clean_link(value: object) -> str:
    """Return an https:// address that can be shown to people, or "" for anything else."""
    if not isinstance(value, str) or _LINK.fullmatch(value) is None:
        return ""
    # An address with a secret is useless without it.
    return value if redact(value, most=len(value)) == value else ""
