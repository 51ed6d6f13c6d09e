"""The findings of a rehearsal, in words for people and as data for programs."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from commands.common import visible, when
from commands.rehearsal import Tried, TriedStep
from shared.base.durations import format_duration
from shared.base.words import counted, flat, shortened
from shared.events.model import UnknownEvent
from shared.journal.outcomes import WHOLE, Outcome, OutcomeStatus
from shared.reactions.explanation import Explanation, Obstacle, explain
from shared.reactions.model import Reactions
from shared.rollouts.state.splits import words as split_words
from shared.twins.overlays import Fact, Withheld

#: A message's text that is longer is cut.
_TEXT_MAX = 200
_TAGS_MAX = 8
_HEADS: Final = {
    OutcomeStatus.DONE: "would be done",
    OutcomeStatus.SKIPPED: "would be skipped",
    OutcomeStatus.WAITING: "would be started",
    OutcomeStatus.FAILED: "would fail",
}


def is_refused(tried: Tried) -> bool:
    outcomes = [*tried.whole.values(), *(step.outcome for step in tried.steps.values())]
    return any(_is_bad(outcome) for outcome in outcomes if outcome is not None)


def _is_bad(outcome: Outcome) -> bool:
    """Say whether an outcome is that of an error: it has a code, and waits or has failed."""
    is_open = outcome.status in (OutcomeStatus.WAITING, OutcomeStatus.FAILED)
    return is_open and bool(outcome.code)


def _explained(tried: Tried, reactions: Reactions) -> list[Explanation]:
    """Return why each reaction to such events would be set off by what the event says, or not."""
    if isinstance(tried.event, UnknownEvent) or WHOLE in tried.whole:
        return []
    found = explain(reactions, tried.event)
    return [item for item in found if item.obstacle is not Obstacle.OTHER_EVENT]


# In words


def draw_trial(tried: Tried, reactions: Reactions) -> Iterator[str]:
    """Yield what one event would set off."""
    yield visible(f"{tried.event.type} {getattr(tried.event, 'about', tried.event.id)}")
    whole = tried.whole.get(WHOLE)
    explained = _explained(tried, reactions)
    if whole is not None and not explained:
        yield f"  nothing would be done: {visible(whole.detail)}"
    for explanation in explained:
        yield from _told_reaction(explanation, tried)
    others = len(reactions.reactions) - len(explained)
    if explained and others:
        yield f"  {counted(others, 'reaction')} of the file on events of other types"


def _told_reaction(explanation: Explanation, tried: Tried) -> Iterator[str]:
    name = explanation.reaction.name
    steps = [step for key, step in tried.steps.items() if key.partition("/")[0] == name]
    whole = tried.whole.get(name)
    is_set_off = bool(steps) or (explanation.matches and whole is None)
    yield f"  {name}: {'is set off' if is_set_off else 'is not set off'}"
    why = explanation.why if whole is None or explanation.matches else whole.detail
    yield f"    why:     {visible(why)}"
    if explanation.near and not is_set_off:
        yield f"    nearly:  {visible(explanation.near)}"
    if whole is not None and whole.detail not in (why, "replayed"):
        yield f"    then:    {visible(f'{whole.code} {whole.detail}'.strip())}"
    for step in steps:
        yield from _told_step(step)


def _told_step(step: TriedStep) -> Iterator[str]:
    yield f"    {step.name.partition('/')[2]}"
    for name, value in _values(step):
        yield f"      {name + ':':<24} {visible(value)}"
    for line in dict.fromkeys(_fact_words(step)):
        yield f"      reads: {visible(line)}"
    for line in _withheld_words(step):
        yield f"      would {visible(line)}"
    if step.outcome is not None:
        outcome = step.outcome
        head = "would be refused" if _is_bad(outcome) else _HEADS[outcome.status]
        detail = f"{outcome.code}: {outcome.detail}" if outcome.code else outcome.detail
        yield f"      {head}: {visible(detail)}"
    if step.rollout is not None:
        reason = step.rollout.reason or step.rollout.work.trouble
        about = f": {reason}" if reason else ""
        yield f"      rollout after its first tick: {step.rollout.phase}{visible(about)}"
    if step.coming:
        yield "      rollout, each step at the earliest:"
    for coming in step.coming:
        yield f"        {when(coming.at)}  {visible(coming.what)}"


def _values(step: TriedStep) -> Iterator[tuple[str, str]]:
    if step.values is not None:
        yield from _flat(step.values.model_dump(exclude_unset=True), "")


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, timedelta):
        yield path, format_duration(value)
    elif isinstance(value, str):
        yield path, value
    else:
        yield path, json.dumps(value, default=str, ensure_ascii=False)


def _fact_words(step: TriedStep) -> Iterator[str]:
    """Yield what the workspace says, as far as it has a part in what would happen."""
    for fact in step.facts:
        if isinstance(fact.answer, Exception):
            yield f"{fact.method} {_name(fact)}: {fact.answer}"
        elif fact.method in _ANSWERS:
            yield _ANSWERS[fact.method](fact)


def _name(fact: Fact) -> str:
    return " ".join(str(item) for item in fact.asked[1:2])


def _model(fact: Fact) -> str:
    model, name = fact.answer, f"model {_name(fact)}:{fact.asked[2]}"
    if model is None:
        return f"there is no {name}"
    tags = ", ".join(f"{key}={value}" for key, value in list(model.tags.items())[:_TAGS_MAX])
    return f"{name} is a {model.kind}, tags: {tags or 'none'}"


def _asset(fact: Fact) -> str:
    _, kind, name, version = fact.asked
    asked = f"{kind.removesuffix('s')} {name}{f':{version}' if version else '@latest'}"
    if fact.answer is None:
        return f"there is no {asked}"
    return f"{asked} is {name}:{fact.answer.rpartition('/')[2]}"


def _endpoint(fact: Fact) -> str:
    if fact.answer is None:
        return f"there is no endpoint {_name(fact)}"
    split = split_words(fact.answer.traffic) or "none"
    return f"endpoint {_name(fact)} is {fact.answer.state}, split: {split}"


def _deployments(fact: Fact) -> str:
    found = ", ".join(f"{item.name} ({item.state})" for item in fact.answer)
    return f"deployments of {_name(fact)}: {found or 'none'}"


def _capacity(fact: Fact) -> str:
    size, name = fact.answer, _name(fact)
    if size is None:
        return f"the region does not offer {name}"
    if size.limit is None or size.used is None:
        return f"{name} has {size.cores} cores; the quota can't be read"
    left = max(size.limit - size.used, 0)
    return f"{name} has {size.cores} cores; {left} of {size.limit} of its family are left"


def _metrics(fact: Fact) -> str:
    found = ", ".join(f"{key} {value:g}" for key, value in (fact.answer or {}).items())
    return f"metrics of run {_name(fact)}: {found or 'none'}"


def _run(fact: Fact) -> str:
    name = _name(fact)
    return f"run {name} is {fact.answer.status}" if fact.answer else f"there is no run {name}"


_ANSWERS: Final[Mapping[str, Callable[[Fact], str]]] = {
    "get_model": _model,
    "find_asset": _asset,
    "get_endpoint": _endpoint,
    "list_deployments": _deployments,
    "find_capacity": _capacity,
    "get_metrics": _metrics,
    "get_run": _run,
}


def _withheld_words(step: TriedStep) -> Iterator[str]:
    """Yield what would have left the app, in the words of an order to it."""
    for item in step.withheld:
        write = _WRITES.get(item.method)
        yield write(item) if write else item.method.replace("_", " ")


def _message(item: Withheld) -> str:
    text = shortened(flat(item.given["text"]), _TEXT_MAX)
    more = f" | {text}" if text else ""
    return f"tell {item.given['channel']}: {item.given['title']}{more}"


def _start(item: Withheld) -> str:
    inputs = ", ".join(f"{key}={value}" for key, value in item.given["inputs"].items())
    return f"start a {item.given['target']}{' with ' + inputs if inputs else ''}"


def _deployment(item: Withheld) -> str:
    spec = item.given["3"]
    size = f"{spec.instance_count} x {spec.instance_type or spec.compute or 'the default size'}"
    return f"make deployment {item.given['2']} on {item.given['1']}: {size}"


def _split(item: Withheld) -> str:
    return f"set the split of {item.given['1'].name}: {split_words(item.given['2'])}"


_WRITES: Final[Mapping[str, Callable[[Withheld], str]]] = {
    "send": _message,
    "publish": lambda item: f"publish {item.given['type']} on {item.given['topic']}",
    "submit": _start,
    "create_endpoint": lambda item: f"make endpoint {item.given['1']}",
    "create_deployment": _deployment,
    "set_traffic": _split,
    "delete_deployment": lambda item: f"delete {item.given['2']} of {item.given['1']}",
    "register_model": lambda item: f"register a version of {item.given['1'].name}",
    "score": lambda item: f"send a scoring request to {item.given['2']}",
}


# For programs


def trial_data(tried: Tried, reactions: Reactions) -> dict[str, Any]:
    whole = tried.whole.get(WHOLE)
    return {
        "event": {"type": str(tried.event.type), "about": getattr(tried.event, "about", "")},
        "outcome": whole.detail if whole else "",
        "reactions": [
            {
                "name": item.reaction.name,
                "matches": item.matches,
                "why": item.why,
                "near": item.near,
                "outcome": _outcome_data(tried.whole.get(item.reaction.name)),
                "steps": [
                    _step_data(step)
                    for name, step in tried.steps.items()
                    if name.partition("/")[0] == item.reaction.name
                ],
            }
            for item in _explained(tried, reactions)
        ],
    }


def _step_data(step: TriedStep) -> dict[str, Any]:
    return {
        "name": step.name.partition("/")[2],
        "values": dict(_values(step)),
        "reads": list(dict.fromkeys(_fact_words(step))),
        "would": list(_withheld_words(step)),
        "outcome": _outcome_data(step.outcome),
        "refused": step.outcome is not None and _is_bad(step.outcome),
        "rollout": None
        if step.rollout is None
        else {
            "phase": str(step.rollout.phase),
            "reason": step.rollout.reason,
            "trouble": step.rollout.work.trouble,
            "next": [
                {"at": coming.at.isoformat(), "what": coming.what, "phase": str(coming.phase)}
                for coming in step.coming
            ],
        },
    }


def _outcome_data(outcome: Outcome | None) -> dict[str, str] | None:
    if outcome is None:
        return None
    return {"status": str(outcome.status), "code": outcome.code, "detail": outcome.detail}
