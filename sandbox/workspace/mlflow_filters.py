"""The filters of MLflow's search: comparisons of attributes, tags, params and metrics with AND."""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

from sandbox.workspace.arm import Json

type Filter = Callable[[Json], bool]

_CLAUSE = re.compile(
    r"\s*(?:(?P<entity>\w+)\.)?(?P<key>`[^`]+`|\"[^\"]+\"|[\w./-]+)\s*"
    r"(?P<operator>!=|<=|>=|=|<|>|\bLIKE\b|\bILIKE\b|\bIN\b)\s*"
    r"(?P<value>'[^']*'|\"[^\"]*\"|\([^)]*\)|[-+.\deE]+)\s*",
    re.IGNORECASE,
)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_ENTITIES = {"": "info", "attribute": "info", "attributes": "info", "attr": "info", "run": "info"}
_LISTS = {
    "tag": "tags",
    "tags": "tags",
    "param": "params",
    "params": "params",
    "parameters": "params",
    "metric": "metrics",
    "metrics": "metrics",
}
_NUMBERS = {"start_time", "end_time"}


def parse_filter(text: str) -> Filter:
    """Return a predicate on the documents of runs; raises ValueError with the fault."""
    clauses: list[Filter] = []
    position = 0
    while text[position:].strip():
        if clauses:
            joint = _AND.match(text, position)
            if joint is None:
                raise ValueError(f"Invalid clause(s) in filter string: '{text[position:]}'")
            position = joint.end()
        match = _CLAUSE.match(text, position)
        if match is None:
            raise ValueError(f"Invalid clause(s) in filter string: '{text[position:]}'")
        clauses.append(_clause(match))
        position = match.end()
    return lambda run: all(clause(run) for clause in clauses)


def _clause(match: re.Match[str]) -> Filter:
    entity, key = (match["entity"] or "").lower(), match["key"].strip('`"')
    operator, given = match["operator"].upper(), match["value"]
    if entity not in _ENTITIES and entity not in _LISTS:
        raise ValueError(f"Invalid entity type '{entity}'")
    is_number = _LISTS.get(entity) == "metrics" or (entity in _ENTITIES and key in _NUMBERS)
    if not is_number and operator in {"<", "<=", ">", ">="}:
        raise ValueError(f"Operator '{operator}' is only for numbers, not for '{key}'")
    wanted: float | str | tuple[str, ...]
    if is_number:
        wanted = float(given.strip("'\""))
    elif given.startswith("("):
        wanted = tuple(part.strip().strip("'\"") for part in given[1:-1].split(","))
    else:
        wanted = given.strip("'\"")
    is_status = entity in _ENTITIES and key == "status"

    def holds(run: Json) -> bool:
        value = _value(run, entity, key)
        if value is None:
            return False
        if is_status and isinstance(wanted, str):
            return _compare(str(value).upper(), operator, wanted.upper())
        return _compare(value, operator, wanted)

    return holds


def _value(run: Json, entity: str, key: str) -> float | str | None:
    if entity in _ENTITIES:
        value: float | str | None = run["info"].get(key)
        return value
    pairs = run["data"][_LISTS[entity]]
    return next((pair["value"] for pair in pairs if pair["key"] == key), None)


def _compare(value: float | str, operator: str, wanted: float | str | tuple[str, ...]) -> bool:
    if operator in {"LIKE", "ILIKE"}:
        pattern = re.sub(r"([*?\[])", r"[\1]", str(wanted)).replace("%", "*").replace("_", "?")
        if operator == "ILIKE":
            return fnmatchcase(str(value).lower(), pattern.lower())
        return fnmatchcase(str(value), pattern)
    if operator == "IN":
        return isinstance(wanted, tuple) and value in wanted
    if operator in {"=", "!="}:
        return (value == wanted) == (operator == "=")
    number, limit = float(value), float(str(wanted))
    return {
        "<": number < limit,
        "<=": number <= limit,
        ">": number > limit,
        ">=": number >= limit,
    }[operator]
