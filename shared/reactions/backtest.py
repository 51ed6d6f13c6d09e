"""A backtest: past events through a new rules file, compared with what was done. Pure.

The outcomes are on record. A reaction's values are not, so they are made by the current file.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from shared.base.errors import SignalboxError
from shared.events.model import Event, EventType, as_data
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus
from shared.reactions.match import Unmatched, as_listed, match_one, sets_off
from shared.reactions.model import Params, Reaction, Reactions, Step
from shared.reactions.step_values import prepare
from shared.reactions.templates import has_expressions, render

#: The examples that are kept of each kind of difference.
EXAMPLES_MAX = 3
#: The parts of a reaction in which two files are compared, by their keys in the file.
_KEYS: Final = ("on", "when", "breaches", "enabled", "do", "limits", "dry_run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One event in which a reaction differs. `detail` says how."""

    id: str
    about: str
    time: datetime
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Tally:
    """The number of events of one kind, and the first few of them."""

    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, event: Event, detail: str = "") -> None:
        """Count an event."""
        self.count += 1
        if len(self.examples) < EXAMPLES_MAX:
            example = Example(id=event.id, about=event.about, time=event.time, detail=detail)
            self.examples.append(example)


@dataclass(slots=True, kw_only=True)
class ReactionDifference:
    """The differences of one reaction. `changed` names its keys that the two files differ in.

    `recorded` and `by_new` are how often it was set off, by the record and by the new file. Of
    `more` and `fewer`, `more_by_current` and `fewer_by_current` are those that the current file
    has as well: it is no longer the one by which the event was handled. `unsure` are events that
    the record says were set off by tags that the model got later.
    """

    name: str
    changed: tuple[str, ...]
    recorded: int = 0
    by_new: int = 0
    more: Tally = field(default_factory=Tally)
    fewer: Tally = field(default_factory=Tally)
    values: Tally = field(default_factory=Tally)
    refused: Tally = field(default_factory=Tally)
    unsure: Tally = field(default_factory=Tally)
    more_by_current: int = 0
    fewer_by_current: int = 0

    @property
    def differs(self) -> bool:
        """Whether the new file would have done anything else than what was done."""
        return bool(self.more.count or self.fewer.count or self.values.count or self.refused.count)


@dataclass(frozen=True, slots=True)
class _Pair:
    """One reaction in both files; None where a file has none, or has it disabled."""

    before: Reaction | None
    after: Reaction | None
    difference: ReactionDifference
    #: Whether both files have the same condition, so that one answer is that of both.
    is_same_when: bool
    #: The steps of the new file whose values depend on the event and may be others.
    steps: tuple[tuple[Step | None, Step], ...]


class Backtest:
    """Compares a new rules file with what was done, one event after the other.

    >>> backtest = Backtest(current=reactions, new=changed, actions=ACTIONS)
    >>> backtest.add(event, outcomes)
    >>> [found.name for found in backtest.differences if found.differs]
    ['tell-new-models']
    """

    def __init__(
        self, *, current: Reactions, new: Reactions, actions: Mapping[str, type[Params]]
    ) -> None:
        self._current = current
        self._new = new
        self._actions = actions
        self.events = 0
        names = dict.fromkeys(
            reaction.name for file in (new, current) for reaction in file.reactions
        )
        self._pairs = {name: self._pair(name) for name in names}
        self._of_type: dict[EventType, tuple[_Pair, ...]] = {
            kind: tuple(pair for pair in self._pairs.values() if _is_for(pair, kind))
            for kind in EventType
        }

    @property
    def differences(self) -> tuple[ReactionDifference, ...]:
        """The differences so far, one for each reaction of either file."""
        return tuple(pair.difference for pair in self._pairs.values())

    def _pair(self, name: str) -> _Pair:
        before, after = self._current.get(name), self._new.get(name)
        changed: tuple[str, ...] = ("is new",) if before is None else ("is gone",)
        if before is not None and after is not None:
            changed = tuple(key for key in _KEYS if _differ(key, before, after))
        found = ReactionDifference(name=name, changed=changed)
        one = before if before is not None and before.enabled else None
        two = after if after is not None and after.enabled else None
        is_same = (
            one is not None
            and two is not None
            and (one.when, one.breaches, one.on) == (two.when, two.breaches, two.on)
        )
        return _Pair(one, two, found, is_same, tuple(_open_steps(one, two)))

    def add(self, event: Event, outcomes: Mapping[str, Outcome]) -> None:
        """Compare one event, of which these outcomes are on record."""
        self.events += 1
        recorded = _set_off(outcomes)
        pairs = self._of_type[event.type]
        if recorded:
            # A reaction that neither file has any more, or has for such events, was set off once.
            known = {pair.difference.name for pair in pairs}
            for name in recorded - known:
                self._gone(name).fewer.add(event, "the new file has it for no such events")
        if not pairs:
            return
        listed = as_listed(self._new, event.workspace), as_listed(self._current, event.workspace)
        if listed == (None, None) and not recorded:
            return
        data = as_data(replace(event, workspace=listed[0] or listed[1] or event.workspace))
        for pair in pairs:
            self._compare(pair, event, data, recorded, listed[0] is not None, listed[1] is not None)

    def _gone(self, name: str) -> ReactionDifference:
        pair = self._pairs.get(name)
        if pair is None:
            pair = _Pair(None, None, ReactionDifference(name=name, changed=("is gone",)), False, ())
            self._pairs[name] = pair
        pair.difference.recorded += 1
        return pair.difference

    def _compare(
        self,
        pair: _Pair,
        event: Event,
        data: Mapping[str, Any],
        recorded: Set[str],
        in_new: bool,
        in_current: bool,
    ) -> None:
        found = pair.difference
        was = found.name in recorded
        after, before = pair.after if in_new else None, pair.before if in_current else None
        now = after is not None and event.type in after.on and sets_off(after, data)
        if pair.is_same_when and in_new == in_current:
            by_current = now
        else:
            by_current = before is not None and event.type in before.on and sets_off(before, data)
        found.recorded += was
        found.by_new += now
        if was and not now:
            self._add_fewer(pair, event, data, after, by_current)
        elif now and not was:
            found.more.add(event)
            found.more_by_current += by_current
        if now:
            _compare_values(pair, event, data, self._actions, compare=by_current)

    def _add_fewer(
        self,
        pair: _Pair,
        event: Event,
        data: Mapping[str, Any],
        after: Reaction | None,
        by_current: bool,
    ) -> None:
        found = pair.difference
        if after is None or event.type not in after.on:
            found.fewer.add(event, "the new file has it for no such events")
        else:
            result = match_one(after, data)
            why = result.why if isinstance(result, Unmatched) else ""
            if isinstance(result, Unmatched) and result.wants_tags:
                found.unsure.add(event, f"{why}; the model may have got the tag later")
                return
            found.fewer.add(event, why)
        found.fewer_by_current += not by_current


def _is_for(pair: _Pair, kind: EventType) -> bool:
    return any(it is not None and kind in it.on for it in (pair.before, pair.after))


def _differ(key: str, before: Reaction, after: Reaction) -> bool:
    if key != "do":
        return bool(getattr(before, key) != getattr(after, key))
    one, two = (
        [(step.action, step.params) for step in reaction.do] for reaction in (before, after)
    )
    return one != two


def _open_steps(
    before: Reaction | None, after: Reaction | None
) -> Iterable[tuple[Step | None, Step]]:
    """Yield the steps of the new file that differ from the current one's, each with that one."""
    known = {step.id: step for step in before.do} if before is not None else {}
    for step in after.do if after is not None else ():
        other = known.get(step.id)
        if other is None or other.params != step.params:
            yield other, step


def _compare_values(
    pair: _Pair,
    event: Event,
    data: Mapping[str, Any],
    actions: Mapping[str, type[Params]],
    *,
    compare: bool,
) -> None:
    """Compare the values of the steps that differ; `compare` says if the current file has any."""
    details = []
    for before, after in pair.steps:
        if compare and before is not None:
            old, new = _values(before, data), _values(after, data)
            details += [
                f"{after.id}.{path}: {old.get(path, 'nothing')} → {new.get(path, 'nothing')}"
                for path in dict.fromkeys([*old, *new])
                if old.get(path) != new.get(path)
            ]
        elif compare:
            details.append(f"{after.id} is new")
        if has_expressions(after.params):
            try:
                prepare(after, data, actions[after.action])
            except SignalboxError as error:
                pair.difference.refused.add(event, f"{after.id}: {error.message}")
    if compare and pair.before is not None and pair.after is not None:
        ids = {step.id for step in pair.after.do}
        details += [f"{step.id} is gone" for step in pair.before.do if step.id not in ids]
    if details:
        pair.difference.values.add(event, "; ".join(details))


def _values(step: Step, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a step by dotted path, or its error."""
    try:
        return dict(_flat_values(render(step, data), ""))
    except SignalboxError as error:
        return {"error": error.message}


def _flat_values(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat_values(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, repr(value)


def _set_off(outcomes: Mapping[str, Outcome]) -> Set[str]:
    """Return the names of the reactions that an event set off, as is on record.

    A reaction that is not set off has one outcome for the whole of it, which is skipped. A step
    that was skipped, as by a limit, was set off all the same.
    """
    if not outcomes:
        return frozenset()
    names = set()
    for key, outcome in outcomes.items():
        name, _, step = key.partition("/")
        if step and (step != WHOLE or outcome.status is OutcomeStatus.DONE):
            names.add(name)
    return names
