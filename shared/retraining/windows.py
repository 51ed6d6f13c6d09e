"""Joins the reports on a monitor's window, cleans them, and cuts them to the size of a row.

All of it comes from events, so names are cut and cleared of secrets, and numbers that are not
finite are left out. Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import isfinite
from typing import Any

from shared.base.redact import redact
from shared.events.model import DriftState, Metric
from shared.retraining.model import SignalSeen, Window

SIGNALS_MAX = 10
#: The most metrics of one window, shared among its signals. Sixty such windows take a third of a
#: row.
METRICS_MAX = 50
OLD_METRICS_MAX = 10
NAME_MAX = 128
DETAIL_MAX = 300

#: The worse state holds, because events have no order, and one signal may have recovered while
#: another has broken.
_SEVERITY: Mapping[DriftState, int] = {
    DriftState.RECOVERED: 0,
    DriftState.BROKEN: 1,
    DriftState.BREACH: 2,
}


def join_windows(known: Window, window: Window) -> Window:
    """Return one window with the reports of both; states and metrics don't depend on the order."""
    signals = dict(known.signals)
    for name, seen in window.signals.items():
        signals[name] = _join_signals(signals[name], seen) if name in signals else seen
    return replace(
        known,
        at=min(known.at, window.at),
        start=_either(min, known.start, window.start),
        end=_either(max, known.end, window.end),
        signals=signals,
    )


def finite_window(window: Window) -> Window:
    """Return the window with finite numbers only, and each metric of a signal once."""
    return replace(
        window,
        signals={
            name: replace(
                seen, metrics=_join_metrics(map(_finite_metric, filter(_is_number, seen.metrics)))
            )
            for name, seen in window.signals.items()
        },
    )


def clean_window(window: Window) -> Window:
    """Return the window with names and details that may be kept: short and without secrets."""
    signals: dict[str, SignalSeen] = {}
    for name, seen in window.signals.items():
        short = redact(name, most=NAME_MAX)
        clean = SignalSeen(
            state=seen.state,
            metrics=_join_metrics(map(_clean_metric, seen.metrics)),
            detail=redact(seen.detail, most=DETAIL_MAX),
        )
        signals[short] = _join_signals(signals[short], clean) if short in signals else clean
    return replace(window, signals=signals)


def cut_window(
    window: Window,
    *,
    metrics: int,
    rank_signal: Callable[[str, SignalSeen], int],
    rank_metric: Callable[[str, Metric], Any],
) -> Window:
    """Return the window with its greatest signals, and the greatest metrics of each, in order.

    The first signal of each rank is kept, however many there are of higher ranks. Each kept signal
    has the same share of the metrics, and at least one.
    """
    ranks = {name: rank_signal(name, seen) for name, seen in window.signals.items()}
    firsts = {rank: name for name, rank in reversed(ranks.items())}
    names = _greatest(
        tuple(ranks), SIGNALS_MAX, lambda name: (firsts[ranks[name]] == name, ranks[name])
    )
    share = max(metrics // max(len(names), 1), 1)
    signals = {}
    for name in names:
        seen = window.signals[name]
        kept = _greatest(seen.metrics, share, partial(rank_metric, name))
        signals[name] = replace(seen, metrics=kept)
    return replace(window, signals=signals)


def _join_signals(known: SignalSeen, seen: SignalSeen) -> SignalSeen:
    if _SEVERITY[known.state] != _SEVERITY[seen.state]:
        return max(known, seen, key=lambda one: _SEVERITY[one.state])
    return replace(
        known,
        metrics=_join_metrics((*known.metrics, *seen.metrics)),
        detail=known.detail or seen.detail,
    )


def _join_metrics(metrics: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return the metrics, and of several with one name and feature only the worst."""
    worst: dict[tuple[str, str], Metric] = {}
    for metric in metrics:
        key = (metric.name, metric.feature)
        worst[key] = max(worst.get(key, metric), metric, key=_badness)
    return tuple(worst.values())


def _badness(metric: Metric) -> tuple[float, ...]:
    effect = -1.0 if metric.effect is None else metric.effect
    threshold = (0.0, 0.0) if metric.threshold is None else (1.0, metric.threshold)
    return (metric.breached, effect, metric.value, *threshold)


def _is_number(metric: Metric) -> bool:
    return isfinite(metric.value)


def _finite_metric(metric: Metric) -> Metric:
    threshold, effect = _finite(metric.threshold), _finite(metric.effect)
    if (threshold, effect) == (metric.threshold, metric.effect):
        return metric
    return replace(metric, threshold=threshold, effect=effect)


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def _clean_metric(metric: Metric) -> Metric:
    return replace(
        metric,
        name=redact(metric.name, most=NAME_MAX),
        feature=redact(metric.feature, most=NAME_MAX),
    )


def _greatest[T](items: tuple[T, ...], most: int, rank: Callable[[T], Any]) -> tuple[T, ...]:
    if len(items) <= most:
        return items
    order = sorted(range(len(items)), key=lambda place: rank(items[place]), reverse=True)
    return tuple(items[place] for place in sorted(order[:most]))


def _either(
    choose: Callable[[datetime, datetime], datetime], one: datetime | None, other: datetime | None
) -> datetime | None:
    return one or other if one is None or other is None else choose(one, other)
