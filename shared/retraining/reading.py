"""Reads one window for a policy: drift, or the reason against it. Pure and total."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from shared.events.breaches import judge_metric
from shared.events.model import DriftState, Metric
from shared.retraining.model import PolicyAnswer, SignalSeen, Window
from shared.retraining.params import PolicyParams

_LINES_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One window as a policy sees it: `answer` is None for drift, else why there is none.

    `drifted` says whether the model drifted. It is None if the window does not show that, because
    the data is broken, or because something was not measured and nothing else has drifted.
    """

    answer: PolicyAnswer | None
    reason: str
    drifted: bool | None


def read_window(policy: PolicyParams, window: Window) -> Reading:
    """Say whether a window has drifted for this policy, without regard to earlier windows."""
    breached = {
        name: seen for name, seen in window.signals.items() if seen.state is DriftState.BREACH
    }
    broken = {
        name: seen for name, seen in window.signals.items() if seen.state is DriftState.BROKEN
    }
    calm = None if broken else False
    if not breached and broken:
        return Reading(
            answer=PolicyAnswer.MONITOR_BROKEN, reason=_describe_broken(broken), drifted=calm
        )
    if not breached:
        # A window without a signal shows nothing.
        calm = False if window.signals else None
        return Reading(answer=PolicyAnswer.NO_DRIFT, reason="no signal is breached", drifted=calm)
    if bad := _find_bad_data(policy, breached):
        return Reading(answer=PolicyAnswer.DATA_QUALITY, reason=bad, drifted=None)
    looked_at = [
        found for name, seen in breached.items() for found in _look_at(policy, name, seen.metrics)
    ]
    if not looked_at:
        reason = f"the policy does not look at what is breached: {_describe_found(breached)}"
        return Reading(answer=PolicyAnswer.OTHER_SIGNAL, reason=reason, drifted=calm)
    counting = [found for found in looked_at if found.counts]
    if not counting:
        best = max(looked_at, key=lambda found: found.rank)
        return Reading(answer=PolicyAnswer.SMALL_EFFECT, reason=best.describe_hold(), drifted=calm)
    best = max(counting, key=lambda found: found.rank)
    return Reading(answer=None, reason=best.describe(), drifted=True)


def is_measured(window: Window) -> bool:
    """Say whether anything was measured in the window."""
    return any(seen.state is not DriftState.BROKEN for seen in window.signals.values())


def rank_metric(policy: PolicyParams, signal: str, metric: Metric) -> tuple[float, ...]:
    """Rank a metric of a breached signal: those that decide the policy's answer are greatest."""
    found = _judge(policy, signal, metric)
    return (
        metric.breached and _fits(metric.name, policy.data_quality),
        found.is_candidate and _is_looked_at(policy, found) and found.counts,
        found.is_candidate and _is_looked_at(policy, found),
        found.is_candidate,
        *found.rank,
    )


def rank_signal(policy: PolicyParams, name: str, seen: SignalSeen) -> int:
    """Rank the signals of a window in the same way."""
    if seen.state is not DriftState.BREACH:
        return _STATES[seen.state]
    if _find_bad_data(policy, {name: seen}):
        return 5
    looked_at = _look_at(policy, name, seen.metrics)
    return 4 if any(found.counts for found in looked_at) else 3 if looked_at else 2


_STATES: Mapping[DriftState, int] = {DriftState.BROKEN: 1, DriftState.RECOVERED: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A metric of a breached signal as the policy judges it; None for a signal without any.

    `reported` says whether the monitor reports a breach; `least` is the least effect that counts.
    """

    signal: str
    metric: Metric | None
    reported: bool = True
    is_judged: bool = False
    least: float

    @property
    def is_candidate(self) -> bool:
        return self.reported or self.is_judged

    @property
    def counts(self) -> bool:
        if self.metric is None:
            return self.least == 0
        if not self.metric.breached:
            return False
        effect = self.metric.effect
        return self.least == 0 if effect is None else effect >= self.least

    @property
    def rank(self) -> tuple[float, ...]:
        if self.metric is None:
            return (1, -1.0)
        effect = self.metric.effect
        return (self.metric.breached, -1.0 if effect is None else effect)

    def describe(self) -> str:
        if self.metric is None:
            return f"signal {self.signal or 'without a name'} is breached"
        effect = self.metric.effect
        size = "" if effect is None else f", effect {effect:g}"
        return f"{_name_of(self.metric)} is {self.metric.value:g}{size}"

    def describe_hold(self) -> str:
        metric = self.metric
        if metric is None:
            name = self.signal or "without a name"
            return f"the effect of signal {name} is unknown, {self.least:g} is wanted"
        if not metric.breached:
            limit = "" if metric.threshold is None else f" {metric.threshold:g}"
            return f"{_name_of(metric)} is {metric.value:g}, within the policy's threshold{limit}"
        if metric.effect is None:
            return f"the effect of {_name_of(metric)} is unknown, {self.least:g} is wanted"
        return f"effect {metric.effect:g} of {_name_of(metric)} is below {self.least:g}"


def _judge(policy: PolicyParams, signal: str, metric: Metric) -> _Found:
    params = policy.metric(metric.name)
    least = policy.min_effect if params.min_effect is None else params.min_effect
    threshold = metric.threshold if params.threshold is None else params.threshold
    is_judged = params.judges and threshold is not None
    judged = metric
    if is_judged:
        judged = judge_metric(
            metric.name, metric.value, threshold, metric.feature, worse=params.worse
        )
    return _Found(
        signal=signal, metric=judged, reported=metric.breached, is_judged=is_judged, least=least
    )


def _look_at(policy: PolicyParams, signal: str, metrics: Iterable[Metric]) -> list[_Found]:
    """Return the metrics of a breached signal that the policy looks at, counting or not."""
    judged = (_judge(policy, signal, metric) for metric in metrics)
    # A breach without metrics is still a breach, with an unknown effect.
    candidates = [found for found in judged if found.is_candidate] or [
        _Found(signal=signal, metric=None, least=policy.min_effect)
    ]
    return [found for found in candidates if _is_looked_at(policy, found)]


def _is_looked_at(policy: PolicyParams, found: _Found) -> bool:
    if policy.signals and not _fits(found.signal, policy.signals):
        return False
    feature = "" if found.metric is None else found.metric.feature
    return not policy.features or (bool(feature) and _fits(feature, policy.features))


def _find_bad_data(policy: PolicyParams, breached: Mapping[str, SignalSeen]) -> str:
    """Return why the data itself is broken, or "". The monitor's own judgement counts."""
    for name, seen in breached.items():
        if _fits(name, policy.data_quality):
            return f"signal {name} tells of the data's quality"
        for metric in seen.metrics:
            if metric.breached and _fits(metric.name, policy.data_quality):
                return f"{_name_of(metric)} tells of the data's quality"
    return ""


def _fits(text: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(text.lower(), glob.lower()) for glob in globs)


def _name_of(metric: Metric) -> str:
    return f"{metric.name} of {metric.feature}" if metric.feature else metric.name


def _describe_broken(broken: Mapping[str, SignalSeen]) -> str:
    lines = (f"{name or 'the monitor'}: {seen.detail or 'broken'}" for name, seen in broken.items())
    return "; ".join(list(lines)[:_LINES_MAX])


def _describe_found(breached: Mapping[str, SignalSeen]) -> str:
    lines = []
    for name, seen in breached.items():
        features = dict.fromkeys(m.feature for m in seen.metrics if m.breached and m.feature)
        shown = ", ".join(list(features)[:_LINES_MAX])
        lines.append(f"{name or 'a signal without a name'}{f' ({shown})' if shown else ''}")
    return "; ".join(lines[:_LINES_MAX])
