"""Reads one reaction of the file, layer by layer: its keys, its condition, its actions."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.base.ids import GIVEN_NAME, GIVEN_NAME_RULE
from shared.events.model import EventType
from shared.reactions.condition_faults import find_condition_faults
from shared.reactions.expression_faults import find_expression_faults, is_path, sample_of
from shared.reactions.expression_nodes import ExpressionFault
from shared.reactions.expressions import Expression, ExpressionSyntax, compile_expression
from shared.reactions.limits import LIMIT_KEYS, read_limits
from shared.reactions.model import Params, Reaction, Step
from shared.reactions.step_values import find_never_text, find_param_faults
from shared.reactions.templates import (
    OPEN,
    Template,
    compile_template,
    find_foreign,
    find_names,
    has_expressions,
    reads_tags,
    value_at,
)
from shared.schema.document import Path
from shared.schema.report import Place, Report
from shared.schema.values import LoadContext
from shared.schema.wording import SETTING_IS, cut, dotted, found, kind_of_value, nearest, suggest

if TYPE_CHECKING:
    from shared.reactions.schedule import ReactionSchedule

#: The events of runs, for which a reaction may have `breaches:`.
_OF_RUNS = (EventType.RUN_COMPLETED, EventType.RUN_STATUS_CHANGED)


#: The part of an action's values that goes to somebody who may read another language's templates;
#: and where the values of an action begin: reactions, 0, do, 0, start.
_RECEIVERS = ("target", "webhook", "body")
_BELOW_ACTION = 5

#: The keys of a reaction.
REACTION_KEYS = {
    *("name", "description", "enabled", "on", "schedule", "when", "breaches", "do", "dry_run"),
    *LIMIT_KEYS,
    "freeze",
}


class ReactionReader:
    """Reads reactions, one after the other; their mistakes go to the report."""

    def __init__(
        self, report: Report, actions: Mapping[str, type[Params]], context: LoadContext
    ) -> None:
        self._report = report
        self._actions = actions
        self._context = context
        self._places: dict[str, str] = {}
        self._doubted: set[str] = set()

    def read(self, item: Any, index: int) -> Reaction | None:
        """Return the reaction, as far as it can be read."""
        path: Path = ("reactions", index)
        if not isinstance(item, dict):
            message = f"a reaction should be a mapping, found {found(item)}"
            hint = "It begins with `- name: …`."
            self._report.error(path, message, hint, reaction=f"#{index + 1}")
            return None
        named = item.get("name")
        who = cut(named) if isinstance(named, str) and named else f"#{index + 1}"
        name = self._name(item, Place(who, path))
        return self._reaction(name or who, item, Place(who, path))

    def _name(self, data: dict[str, Any], place: Place) -> str | None:
        name = data.get("name")
        path = (*place.path, "name")
        if "name" not in data and any(nearest(key, {"name"}) for key in data):
            return None  # it was misspelt, which is said of the key
        if "name" not in data:
            hint = "Give it a name that is not used yet."
            self._report.error(path, "`name:` is missing", hint, reaction=place.reaction)
            return None
        if not isinstance(name, str) or not GIVEN_NAME.fullmatch(name):
            message = f"a reaction can't be called {found(name)}"
            hint = f"{GIVEN_NAME_RULE.capitalize()}."
            self._report.error(path, message, hint, reaction=place.reaction)
            return None
        if name in self._places:
            message = f"the name is taken by the reaction {self._places[name]}"
            self._report.error(path, message, "Names are unique.", reaction=place.reaction)
        self._places.setdefault(name, self._report.where(path))
        return name

    def _reaction(self, name: str, data: dict[str, Any], place: Place) -> Reaction | None:
        self._report.check_keys(data, place.path, REACTION_KEYS, "a reaction", place.reaction)
        enabled = self._optional(data, "enabled", bool, True, place)
        description = self._optional(data, "description", str, "", place)
        on = self._event_types(data, place)
        breaches = self._breaches(data, on, place)
        is_fit = self._check_fits(on, data.get("do"), place)
        # For a wrong type of event, everything in the reaction would be reported as a mistake.
        place = Place(place.reaction, place.path, on if is_fit else None)
        when = self._when(data, place)
        limits = read_limits(data, place, self._report, self._context, self._compiled)
        schedule = self._schedule(data, on, place)
        dry_run = self._optional(data, "dry_run", bool, False, place)
        do = self._steps(data, place)
        self._warn_of_narrow_condition(when, do, place)
        self._warn_of_two_events(on, when, place)
        if on is None:
            return None
        return Reaction(
            name=name,
            description=description,
            enabled=enabled,
            on=on,
            when=when,
            breaches=breaches,
            do=do,
            limits=limits,
            schedule=schedule,
            dry_run=dry_run,
            makes=any(self._actions[step.action].makes for step in do),
            makes_runs=any(self._actions[step.action].makes_runs for step in do),
            line=self._report.line(place.path),
        )

    def _optional[T: (str, bool)](
        self, data: dict[str, Any], key: str, kind: type[T], default: T, place: Place
    ) -> T:
        value = data.get(key, default)
        if isinstance(value, kind):
            return value
        expected = "true or false" if kind is bool else "text"
        message = f"`{key}:` should be {expected}, found {found(value)}"
        self._report.error((*place.path, key), message, reaction=place.reaction)
        return default

    def _schedule(
        self, data: dict[str, Any], on: tuple[EventType, ...] | None, place: Place
    ) -> "ReactionSchedule | None":
        if "schedule" not in data and EventType.SCHEDULE not in (on or ()):
            return None
        from shared.reactions.schedule import read_schedule

        return read_schedule(data, on, place, self._report, self._context)

    def _breaches(
        self, data: dict[str, Any], on: tuple[EventType, ...] | None, place: Place
    ) -> bool:
        if "breaches" in data and on is not None and not set(on) & set(_OF_RUNS):
            message = f"`breaches:` is not for {' or '.join(on)} events"
            hint = f"Leave it out, or react `on: {' or '.join(_OF_RUNS)}`."
            path = (*place.path, "breaches")
            self._report.error(path, message, hint, reaction=place.reaction, key=True)
        return self._optional(data, "breaches", bool, False, place)

    def _event_types(self, data: dict[str, Any], place: Place) -> tuple[EventType, ...] | None:
        """Return the types of event of `on`, None if one of them can't be read."""
        path = (*place.path, "on")
        value = data.get("on")
        if "on" not in data:
            hint = suggest("", list(EventType))
            self._report.error(path, "`on:` is missing", hint, reaction=place.reaction)
            return None
        if not isinstance(value, list):
            one = self._event_type(value, path, place)
            return None if one is None else (one,)
        if not value:
            hint = suggest("", list(EventType))
            message = "`on:` should name an event type, found an empty list"
            self._report.error(path, message, hint, reaction=place.reaction)
            return None
        types: list[EventType] = []
        for index, item in enumerate(value):
            one = self._event_type(item, (*path, index), place)
            if one in types:
                message = f"{one} is in `on:` twice"
                self._report.error((*path, index), message, "Remove one.", reaction=place.reaction)
            elif one is not None:
                types.append(one)
        return tuple(types) if len(types) == len(value) else None

    def _event_type(self, value: Any, path: Path, place: Place) -> EventType | None:
        names = list(EventType)
        if isinstance(value, str) and value in names:
            return EventType(value)
        if isinstance(value, str):
            last = value.rpartition(".")[2]
            hint = suggest(last, names)
            if last in names:
                hint = f"Leave the prefix out: `{last}`."
            message = f"there is no event type {found(value)}"
        else:
            hint = suggest("", names)
            message = f"`on:` should be an event type, or a list of them, found {found(value)}"
        self._report.error(path, message, hint, reaction=place.reaction)
        return None

    def _warn_of_two_events(
        self, on: tuple[EventType, ...] | None, when: Expression | None, place: Place
    ) -> None:
        """Warn of a reaction that takes both events of a run that completes."""
        if on is None or not set(on) >= set(_OF_RUNS):
            return
        if when is None or not when.names("type", "status"):
            message = "a run that completes has both events, so the reaction runs twice for it"
            hint = "Leave one out, or choose by the status: `when: run.status == 'Failed'`."
            self._report.warn((*place.path, "on"), message, hint)

    def _when(self, data: dict[str, Any], place: Place) -> Expression | None:
        if "when" not in data:
            return None
        value, path = data["when"], (*place.path, "when")
        if not isinstance(value, str):
            message = f"`when:` should be an expression, found {found(value)}"
            hint = "Leave `when:` out to react always."
            self._report.error(path, message, hint, reaction=place.reaction)
            return None
        if OPEN in value:
            message = f"`when:` is an expression as it is, without `{OPEN} }}}}`"
            hint = "Write the bare expression."
            self._report.error(path, message, hint, reaction=place.reaction)
            return None
        try:
            expression = compile_expression(value)
        except ExpressionSyntax as error:
            self._expression_error(path, place, error, 0)
            return None
        if place.on is not None:
            for fault in find_condition_faults(expression, *place.on):
                self._expression_error(path, place, fault, 0)
        return expression

    def _warn_of_narrow_condition(
        self, when: Expression | None, do: tuple[Step, ...], place: Place
    ) -> None:
        """Warn of a condition that keeps events from an action that needs them."""
        for step in do:
            for field in self._actions[step.action].hears_all:
                if when is not None and re.search(rf"(?<![\w.]){re.escape(field)}\b", when.text):
                    message = f"`{step.action}` has to hear of every `{field}`, not of some"
                    hint = f"Leave `{field}` out of `when`; the action looks at it by itself."
                    self._report.warn((*place.path, "when"), message, hint)

    def _expression_error(
        self, path: Path, place: Place, fault: ExpressionSyntax | ExpressionFault, start: int
    ) -> None:
        offset = None if fault.offset is None else start + fault.offset
        self._report.error(path, fault.message, fault.hint, reaction=place.reaction, offset=offset)

    def _steps(self, data: dict[str, Any], place: Place) -> tuple[Step, ...]:
        path = (*place.path, "do")
        items = data.get("do")
        if not isinstance(items, list) or not items:
            fault = "is missing" if "do" not in data else "should be a list of actions"
            if "do" in data:
                fault += (
                    ", found an empty list" if items == [] else f", found {kind_of_value(items)}"
                )
            hint = "Begin each action on a line of its own: `- notify:`."
            self._report.error(path, f"`do:` {fault}", hint, reaction=place.reaction, key=True)
            return ()
        steps: list[Step] = []
        counts = Counter[str]()
        for index, item in enumerate(items):
            here = Place(place.reaction, (*path, index), place.on)
            read = list[Step]()
            for one, suffix in self._each(item, here):
                step = self._step(one, here, counts)
                read += [] if step is None else [replace(step, id=step.id + suffix)]
            counts.update({step.action for step in read})
            steps += read
        return tuple(steps)

    def _each(self, item: Any, place: Place) -> Iterator[tuple[Any, str]]:
        """Yield an item of `do:`, once for each item of the list that it may have; see `per_item`.

        Each comes with the end of its step's id, which is made from the list's item, so that its
        claim stays the same if the list is sorted otherwise.
        """
        action = next(iter(item)) if isinstance(item, dict) and len(item) == 1 else ""
        field = self._actions[action].per_item if action in self._actions else ""
        values = item[action].get(field) if field and isinstance(item[action], dict) else None
        if not isinstance(values, list):
            yield item, ""
            return
        path = (*place.path, action, field)
        if not values:
            message = f"`{field}` should not be an empty list"
            self._report.error(path, message, "Name at least one.", reaction=place.reaction)
        origins, seen = self._report.origins, set[str]()
        written = origins.get(path, path)
        for index, value in enumerate(values):
            is_name = isinstance(value, str) and OPEN not in value
            if is_name and value in seen:
                message = f"`{field}` has {found(value)} twice"
                origins[path] = written
                where = (*path, index)
                self._report.error(where, message, "Remove one.", reaction=place.reaction)
                continue
            seen.update([value] if is_name else [])
            origins[path] = (*written, index)
            yield {action: {**item[action], field: value}}, f"@{value if is_name else index}"
        origins[path] = written

    def _step(self, item: Any, place: Place, earlier: Counter[str]) -> Step | None:
        if not isinstance(item, dict) or len(item) != 1:
            stray = _find_stray(item, self._actions)
            if stray is not None:
                message = f"`{stray[1]}` is not below `{stray[0]}`"
                hint = f"Indent it by two spaces more than `{stray[0]}`."
                path = (*place.path, stray[1])
                self._report.error(path, message, hint, reaction=place.reaction, key=True)
                return None
            message, hint = _not_one_action(item, self._actions)
            self._report.error(place.path, message, hint, reaction=place.reaction)
            return None
        ((action, raw),) = item.items()
        path = (*place.path, action)
        if action not in self._actions:
            hint = suggest(action, self._actions)
            message = f"there is no action `{cut(action)}`"
            self._report.error(path, message, hint, reaction=place.reaction, key=True)
            return None
        raw = {} if raw is None else raw
        if not isinstance(raw, dict):
            message = f"`{action}` should hold a mapping, found {found(raw)}"
            hint = "Write its values below it, indented: `key: value`."
            self._report.error(path, message, hint, reaction=place.reaction)
            return None
        count = earlier[action] + 1
        if count > 1 and self._actions[action].is_single:
            message = f"a reaction can have one `{action}` only"
            hint = "Write a reaction of its own for this one."
            self._report.error(path, message, hint, reaction=place.reaction, key=True)
        params = self._compiled(raw, Place(place.reaction, path, place.on))
        self._check_params(action, raw, path, place)
        self._check_texts(action, params, path, place)
        self._check_guarded(action, params, path, place)
        return Step(
            id=action if count == 1 else f"{action}-{count}",
            action=action,
            params=params,
            line=self._report.line(place.path),
            path=path,
        )

    def _check_params(self, action: str, raw: dict[str, Any], path: Path, place: Place) -> None:
        context = replace(self._context, on=place.on, doubts={})
        for fault in find_param_faults(action, raw, self._actions[action], context):
            where = (*path, *fault.path)
            self._report.error(
                where, fault.message, fault.hint, reaction=place.reaction, key=fault.is_of_key
            )
        for odd, (message, hint) in context.doubts.items():
            if message not in self._doubted:  # one setting that many steps need is one cause
                self._report.warn((*path, *odd), message, hint)
            if message.startswith(SETTING_IS):
                self._doubted.add(message)

    def _check_texts(self, action: str, params: Any, path: Path, place: Place) -> None:
        """Find text values whose expression gives another type."""
        on = place.on
        if on is None:
            return

        def sample(template: Template) -> object:
            whole = len(template.parts) == 1 and template.holes
            given = sample_of(whole[0].expression, *on) if whole else None
            return template.text if given is None else given

        kind = self._actions[action]
        for inner, expression in find_never_text(action, params, kind, sample, self._context):
            message = f"`{dotted(inner)}` should be text, and `{cut(expression)}` gives none"
            hint = "Make text of it: to_string(…), or join(', ', …) of a list of texts."
            self._report.error((*path, *inner), message, hint, reaction=place.reaction)

    def _check_guarded(self, action: str, params: Any, path: Path, place: Place) -> None:
        """Find fields that a tag chooses although `allow` lists no values for them."""
        allow = params.get("allow")
        if has_expressions(allow):
            message = "`allow` is made from the event, which could then allow itself anything"
            hint = "List the allowed values, without expressions."
            self._report.error((*path, "allow"), message, hint, reaction=place.reaction)
        for field, guard in self._actions[action].guarded.items():
            listed = isinstance(allow, dict) and allow.get(guard)
            if reads_tags(value_at(params, field)) and not listed:
                message = f"`{field}` is made from a tag, and `allow.{guard}` lists nothing"
                hint = f"List what a tag may choose: `allow: {{{guard}: […]}}`."
                where = (*path, *field.split("."))
                self._report.error(where, message, hint, reaction=place.reaction)

    def _check_fits(self, on: tuple[EventType, ...] | None, items: Any, place: Place) -> bool:
        """Say whether each action accepts all such events."""
        steps = enumerate(items if isinstance(items, list) else [])
        named = [(index, key) for index, item in steps if isinstance(item, dict) for key in item]
        unfit = [
            (index, key, refused) for index, key in named if (refused := self._refused(key, on))
        ]
        for index, action, refused in unfit:
            message = f"`{action}` can't be done for {' or '.join(refused)} events"
            possible = " or ".join(sorted(self._actions[action].events))
            hint = f"Use it in a reaction `on: {possible}`."
            path = (*place.path, "do", index, action)
            self._report.error(path, message, hint, reaction=place.reaction, key=True)
        return not unfit

    def _refused(self, action: str, on: tuple[EventType, ...] | None) -> list[EventType]:
        """Return the types of event that an action does not accept."""
        if on is None or action not in self._actions or not self._actions[action].events:
            return []
        return [event_type for event_type in on if event_type not in self._actions[action].events]

    def _check_text(self, value: str, place: Place) -> None:
        """Find text that was probably meant as an expression."""
        meant = [inner for inner in find_names(value) if place.on and is_path(inner, *place.on)]
        foreign = find_foreign(value)
        if not foreign and not meant:
            return
        if foreign and place.path[_BELOW_ACTION:][: len(_RECEIVERS)] == _RECEIVERS:
            return
        message = f"`{cut(foreign or meant[0])}` would be taken as text"
        if foreign:
            message = f"`{cut(foreign)}` is another language's template, and would be taken as text"
        hint = f"Write an expression: `${{{{ {meant[0] if meant else '…'} }}}}`."
        self._report.refuse(place.path, message, hint, reaction=place.reaction)

    def _compiled(self, value: Any, place: Place) -> Any:
        """Return the value with Templates for the texts that hold expressions, each checked."""
        if isinstance(value, dict | list):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            items = {
                key: self._compiled(item, Place(place.reaction, (*place.path, key), place.on))
                for key, item in pairs
            }
            return items if isinstance(value, dict) else list(items.values())
        if not isinstance(value, str):
            return value
        try:
            template = compile_template(value)
        except ExpressionSyntax as error:
            self._expression_error(place.path, place, error, 0)
            return value
        self._check_text(value, place)
        if template is not None and place.on is not None:
            for hole in template.holes:
                for fault in find_expression_faults(hole.expression, *place.on):
                    self._expression_error(place.path, place, fault, hole.offset)
        return template or value


def _find_stray(item: Any, actions: Mapping[str, type[Params]]) -> tuple[str, str] | None:
    """Return an action and a value of it that stands beside it, if the others are below it."""
    if not isinstance(item, dict):
        return None
    action = next(iter(item), "")
    values = item.get(action)
    if action not in actions or not isinstance(values, dict):
        return None
    takes = actions[action].model_fields.keys() - values.keys()
    beside = [key for key in item if key != action]
    return (action, beside[0]) if beside and set(beside) <= takes else None


def _not_one_action(item: Any, actions: Collection[str]) -> tuple[str, str]:
    if isinstance(item, dict):
        first = next(iter(item), "")
        if first in actions and item[first] is None and not item.keys() <= set(actions):
            message = f"the values of `{first}` are not below it"
            return message, f"Indent them by two spaces more than `{first}`."
        names = ", ".join(f"`{cut(key)}`" for key in list(item)[:4]) or "none"
        message = f"each item of `do:` is one action, found {names}"
        known = [key for key in item if key in actions]
        if not known:
            return message, "An action's name is the key, with its values below it: `- notify:`."
        if len(known) == 1:
            hint = f"Leave all but `{known[0]}` out. A condition goes beside `do:`, as `when`."
            return message, hint
        return message, "Begin each action with `- `."
    if isinstance(item, str):
        return f"an action should be a mapping, found {found(item)}", "End its name with `:`."
    return f"an action should be a mapping, found {kind_of_value(item)}", "Write `- notify:`."
