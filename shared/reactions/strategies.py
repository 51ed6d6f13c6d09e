"""Reads the strategies that a file has under `rollouts:`."""

from collections.abc import Mapping
from typing import Any

from shared.base.ids import GIVEN_NAME, GIVEN_NAME_RULE
from shared.rollouts.strategy.model import Strategy
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.rollouts.strategy.schema import StrategyParams, read_strategy
from shared.schema.document import Path
from shared.schema.faults import misplaced
from shared.schema.report import Report
from shared.schema.values import LoadContext
from shared.schema.wording import found


def read_strategies(
    data: Mapping[str, Any], report: Report, context: LoadContext
) -> dict[str, Strategy | None]:
    """Return the strategies by name, None for one with a mistake; the report has the mistakes.

    A strategy with an invalid name is left out.
    """
    if slip := _find_slip(data):
        fault = misplaced(("rollouts", slip))
        report.error(fault.path, fault.message, fault.hint, key=True)
        beside = StrategyParams.model_fields.keys() | {slip}
        data = {name: raw for name, raw in data.items() if name not in beside}
    read = {name: _read(name, raw, report, context) for name, raw in data.items()}
    read |= {slip: None} if slip else {}
    return {name: strategy for name, strategy in read.items() if _check_name(name, report)}


def _find_slip(data: Mapping[str, Any]) -> str:
    """Return the name of a strategy whose values stand beside it, "" if there is none."""
    bare = [name for name, raw in data.items() if raw is None]
    is_beside = isinstance(data.get("steps"), list) or isinstance(data.get("based_on"), str)
    return bare[0] if bare and is_beside else ""


def _check_name(name: str, report: Report) -> bool:
    if GIVEN_NAME.fullmatch(name) is None:
        message = f"a strategy can't be called {found(name)}"
        hint = f"{GIVEN_NAME_RULE.capitalize()}."
    elif name in READY_MADE:
        message = f"strategy '{name}' is ready-made"
        hint = f"Choose another name, or begin one with `based_on: {name}`."
    else:
        return True
    report.error(("rollouts", name), message, hint, key=True)
    return False


def _read(name: str, raw: Any, report: Report, context: LoadContext) -> Strategy | None:
    path: Path = ("rollouts", name)
    if not isinstance(raw, dict):
        message = f"a strategy should be a mapping, found {found(raw)}"
        report.error(path, message, "Give it `steps:`, or `based_on:` a ready-made one.", key=True)
        return None
    strategy, faults = read_strategy(name, raw, context)
    for fault in faults:
        report.error((*path, *fault.path), fault.message, fault.hint, key=fault.is_of_key)
    return strategy
