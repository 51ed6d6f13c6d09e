"""`topics:` of a reactions file: the Event Grid topics that `publish` may name."""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.reactions.templates import OPEN
from shared.schema.report import Report
from shared.schema.values import LoadContext
from shared.schema.wording import TOPIC_ADDRESS_HINT, TOPIC_ADDRESS_IN_FILE, found

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_OUTCOMES = "SIGNALBOX_OUTCOMES_TOPIC"
#: A name that ends so would have the setting of another topic's key or schema.
_TAKEN: Final = re.compile(r".*[-_](key|schema)")


def read_topics(items: list[Any], report: Report) -> tuple[str, ...]:
    """Return the names of the topics, each once; every mistake goes to the report."""
    names: dict[str, None] = {}
    for index, item in enumerate(items):
        path = ("topics", index)
        parts = item.values() if isinstance(item, dict) else [item]
        if any(isinstance(part, str) and ("/" in part or "." in part) for part in parts):
            report.error(path, TOPIC_ADDRESS_IN_FILE, TOPIC_ADDRESS_HINT)
        elif not isinstance(item, str) or not _NAME.fullmatch(item):
            hint = "Lower-case letters, digits, - and _, a letter first."
            report.error(path, f"a topic can't be called {found(item)}", hint)
        elif taken := _TAKEN.fullmatch(item):
            hint = f"The setting of another topic's {taken[1]} would have this name."
            report.error(path, f"a topic can't be called {found(item)}", hint)
        elif item in names:
            first = report.where(("topics", items.index(item)))
            report.error(path, f"topic '{item}' is here twice, first {first}", "Remove one.")
        else:
            names[item] = None
    return tuple(names)


def warn_of_topics(topics: tuple[str, ...], report: Report, context: LoadContext) -> None:
    """Warn of topics that no reaction names, and of those whose settings are not usable."""
    # Only events decide which topics an expression names.
    is_open = any(OPEN in name for name in context.named_topics)
    for index, name in enumerate(topics):
        path = ("topics", index)
        if name not in context.named_topics and not is_open:
            if not report.has_errors:  # else an unreadable part may name it
                hint = "Remove it, or name it in a `publish`."
                report.warn(path, f"no reaction uses topic '{name}'", hint)
        elif fault := context.find_topic_fault(name):
            report.warn(path, *fault)


def warn_of_outcomes_topic(
    settings: Mapping[str, str], report: Report, context: LoadContext
) -> None:
    """Warn if the app could not publish its outcomes on the topic that a setting names."""
    topic = settings.get(_OUTCOMES, "").strip()
    if topic and not _NAME.fullmatch(topic):
        # Not shown, because it may be an address with a secret in it.
        report.warn((), f"the app setting `{_OUTCOMES}` is no name of a topic", TOPIC_ADDRESS_HINT)
    elif topic and (fault := context.find_topic_fault(topic)):
        report.warn((), *fault)
