"""`defaults:` of a reactions file: values of an action for every reaction that leaves them out."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from shared.schema.document import Path
from shared.schema.report import Report
from shared.schema.wording import cut, found, suggest


def read_defaults(
    data: Mapping[str, Any], actions: Collection[str], report: Report
) -> dict[str, dict[str, Any]]:
    """Return the defaults of each action; every mistake goes to the report."""
    defaults: dict[str, dict[str, Any]] = {}
    for action, values in data.items():
        path: Path = ("defaults", action)
        if action not in actions:
            message = f"there is no action `{cut(action)}`"
            report.error(path, message, suggest(action, actions), key=True)
        elif not isinstance(values, dict):
            message = f"`{action}` should hold a mapping, found {found(values)}"
            report.error(path, message, "Write its values below it, indented: `key: value`.")
        else:
            defaults[action] = values
    return defaults


def with_defaults(
    reactions: list[Any], defaults: Mapping[str, Mapping[str, Any]], report: Report
) -> list[Any]:
    """Return the reactions with the defaults of their actions, for values that a step leaves out.

    Mappings are merged, key by key. Any other value that a step gives replaces the default, a list
    as a whole. A mistake in a default is reported where the default is written.
    """
    if not defaults:
        return reactions
    used: set[str] = set()
    completed = []
    for index, item in enumerate(reactions):
        steps = item.get("do") if isinstance(item, dict) else None
        if isinstance(steps, list):
            path: Path = ("reactions", index, "do")
            steps = [*_complete(steps, path, defaults, used, report)]
            item = {**item, "do": steps}
        completed.append(item)
    if "channel" in defaults.get("notify", {}):
        used.add("notify")  # its channels hear of every parked letter
    # An unreadable part may have the action.
    for action in () if report.has_errors else defaults.keys() - used:
        message = f"no reaction has the action `{action}`"
        report.warn(("defaults", action), message, "Remove its defaults.", key=True)
    return completed


def _complete(
    steps: list[Any],
    path: Path,
    defaults: Mapping[str, Mapping[str, Any]],
    used: set[str],
    report: Report,
) -> Iterator[Any]:
    for index, step in enumerate(steps):
        action = next(iter(step)) if isinstance(step, dict) and len(step) == 1 else ""
        own = step[action] if action else None
        if action not in defaults or not isinstance(own, dict | None):
            yield step
            continue
        used.add(action)
        here = (*path, index, action)
        yield {action: _merged(defaults[action], own or {}, here, ("defaults", action), report)}


def _merged(
    defaults: Mapping[str, Any], own: Mapping[str, Any], path: Path, origin: Path, report: Report
) -> dict[str, Any]:
    """Return the values of a step, or of a mapping in it, with those that it leaves out."""
    merged = dict(own)
    for name, value in defaults.items():
        here, there = (*path, name), (*origin, name)
        if name not in own:
            merged[name] = value
            report.origins[here] = there
        elif isinstance(value, dict) and isinstance(own[name], dict):
            merged[name] = _merged(value, own[name], here, there, report)
    return merged
