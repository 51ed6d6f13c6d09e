"""Reads `freezes:` and `freeze:` of a file, and `freeze:` of its reactions."""

from collections.abc import Mapping
from typing import Any

from shared.base.ids import GIVEN_NAME, GIVEN_NAME_RULE
from shared.reactions.freezes import Freeze, FreezeParams, make_freeze
from shared.schema.document import Path
from shared.schema.faults import read_values
from shared.schema.report import Report
from shared.schema.values import LoadContext
from shared.schema.wording import found, suggest

_FORM = '{begins: "Fri 17:00", ends: "Mon 08:00", time_zone: Europe/Berlin}'


class FreezeReader:
    """Reads the freezes of a file; its mistakes go to the report."""

    def __init__(self, data: Mapping[str, Any], report: Report, context: LoadContext) -> None:
        """Read the windows of a file, and the names of those that hold for all its reactions."""
        self._report = report
        self._used: set[str] = set()
        raw = data.get("freezes", {})
        if not isinstance(raw, dict):
            message = f"`freezes:` should be a mapping, found {found(raw)}"
            report.error(("freezes",), message, "Write windows below it by name.", key=True)
            raw = {}
        self._known = {name: self._read(name, item, context) for name, item in raw.items()}
        #: Those that hold for each reaction that names none and does more than tell people.
        self.of_file = self._named(data, (), "") if "freeze" in data else ()

    def _read(self, name: str, raw: Any, context: LoadContext) -> Freeze | None:
        path: Path = ("freezes", name)
        if GIVEN_NAME.fullmatch(name) is None:
            hint = f"{GIVEN_NAME_RULE.capitalize()}."
            self._report.error(path, f"a freeze can't be called {found(name)}", hint, key=True)
            return None
        if not isinstance(raw, dict):
            message = f"a freeze should be a mapping, found {found(raw)}"
            self._report.error(path, message, f"Write {_FORM}.", key=True)
            return None
        params, faults = read_values(name, raw, FreezeParams, context)
        for fault in faults:
            where = (*path, *fault.path)
            self._report.error(where, fault.message, fault.hint, key=fault.is_of_key)
        return None if params is None else make_freeze(name, params)

    def of_reaction(self, item: Mapping[str, Any], path: Path, reaction: str) -> tuple[Freeze, ...]:
        """Return the freezes that a reaction names."""
        return self._named(item, path, reaction)

    def _named(self, data: Mapping[str, Any], path: Path, reaction: str) -> tuple[Freeze, ...]:
        value, path = data["freeze"], (*path, "freeze")
        if not isinstance(value, list):
            message = f"`freeze:` should be a list of names, found {found(value)}"
            hint = (
                f"Write [{value}]." if value in self._known else "Write [weekend], or [] for none."
            )
            self._report.error(path, message, hint, reaction=reaction or None)
            return ()
        freezes = []
        for index, name in enumerate(value):
            if not isinstance(name, str) or name not in self._known:
                hint = suggest(str(name), self._known) or "Declare it under `freezes:`."
                message = f"there is no freeze {found(name)}"
                self._report.error((*path, index), message, hint, reaction=reaction or None)
                continue
            self._used.add(name)
            freeze = self._known[name]
            freezes += [freeze] if freeze is not None else []
        return tuple(freezes)

    def warn_of_unused(self) -> None:
        """Warn of windows that nothing names."""
        for name in self._known.keys() - self._used:
            if not self._report.has_errors:
                hint = f"Remove it, or name it: `freeze: [{name}]`."
                self._report.warn(
                    ("freezes", name), f"no reaction uses freeze '{name}'", hint, key=True
                )
