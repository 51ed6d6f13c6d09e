"""Measure the gates of a rollout: read the metrics and judge them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from shared.base.errors import Disposition, SignalboxError
from shared.base.redact import redact
from shared.rollouts.gates import judge
from shared.rollouts.state.measurement import Measurement
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.splits import share
from shared.rollouts.strategy.model import Gate
from shared.workspaces.metrics import Measure, Metrics, Minute, Readings

#: A gate looks at no more than so many readings, so that good ones can't hide a fault that begins
#: late.
_WINDOW = 60
#: At the end of a hold it looks at all of it: two days of minutes, at the most.
_WHOLE = 2880
#: The readings of the stable deployment on which a gate proves itself.
_PROOF = 30
_REASON_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReader:
    """Measures gates by the metrics of a workspace's endpoints."""

    metrics: Metrics

    def look(self, rollout: Rollout, stable: str, now: datetime) -> Rollout:
        """Return the rollout with the measurements of one look: of each gate, or of a comparison.

        Before the first step, whether each gate can measure the stable deployment. Metrics that
        can't be read are a result too.
        """
        step, looks = rollout.current, dict(rollout.gating.looks)
        if step is None or rollout.phase is Phase.CHECKING:  # at a step, if it is tried again
            found = self._prove(rollout, stable, now)
        elif step.measure is not None:
            found = (self._compare(rollout, stable, step.measure, now),)
        else:
            found = self._judge(rollout, stable, now)
            for item in found:
                kind = _kind_of_look(item.measure, rollout, now)
                looks[kind] = looks.get(kind, 0) + (item.p_value is not None)
        gating = replace(rollout.gating, measured=found, looks=looks, looked_at=now)
        return replace(rollout, gating=gating)

    def _prove(self, rollout: Rollout, stable: str, now: datetime) -> tuple[Measurement, ...]:
        found = rollout.plan.strategy.gates
        readings = self._read(rollout, (stable,), judge.measures_of(found), None, now, _PROOF)
        if isinstance(readings, Readings):
            return tuple(judge.can_measure(gate, readings, stable=stable, at=now) for gate in found)
        return tuple(_blind(gate, rollout, now, readings) for gate in found)

    def _judge(self, rollout: Rollout, stable: str, now: datetime) -> tuple[Measurement, ...]:
        strategy = rollout.plan.strategy
        deciding = sum(1 for gate in strategy.gates if not gate.observe)
        readings = self._read_both(rollout, stable, now)
        if not isinstance(readings, Readings):
            return tuple(_blind(gate, rollout, now, readings) for gate in strategy.gates)

        def alpha(gate: Gate) -> float:
            before = rollout.gating.looks.get(_kind_of_look(gate.measure, rollout, now), 0)
            return judge.alpha_of(strategy.confidence, deciding, before + 1)

        return tuple(
            judge.judge(
                gate,
                readings,
                new=rollout.deployment,
                stable=stable,
                alpha=alpha(gate),
                at=now,
                step=rollout.step,
            )
            for gate in strategy.gates
        )

    def _read_both(self, rollout: Rollout, stable: str, now: datetime) -> Readings | SignalboxError:
        """Read the new deployment since the hold began, and the stable one over the same time.

        Minutes before the hold do not count, because they may be those that failed before a retry.
        If the stable deployment has no traffic any more, its window is as long a time before the
        split, which is all that is left to compare with.
        """
        since = rollout.since
        measures = judge.measures_of(rollout.plan.strategy.gates)
        most = _WHOLE if _is_over(rollout, now) else _WINDOW
        if not stable or share(rollout.traffic.split, stable):
            both = (rollout.deployment, stable) if stable else (rollout.deployment,)
            return self._read(rollout, both, measures, since, now, most)
        ours = self._read(rollout, (rollout.deployment,), measures, since, now, most)
        if not isinstance(ours, Readings) or ours.start >= ours.end:
            return ours
        until = _floor(rollout.traffic.split_at or since, self.metrics.grain)
        theirs = self._read(rollout, (stable,), measures, until - (ours.end - ours.start), until)
        if not isinstance(theirs, Readings):
            return theirs
        return Readings(
            start=theirs.start,
            end=ours.end,
            grain=ours.grain,
            minutes={**ours.minutes, **theirs.minutes},
            queries=ours.queries + theirs.queries,
        )

    def _compare(
        self, rollout: Rollout, stable: str, measure: Measure, now: datetime
    ) -> Measurement:
        since = rollout.traffic.split_at or rollout.since
        both = (rollout.deployment, stable)
        readings = self._read(rollout, both, {measure, Measure.REQUESTS}, since, now)
        if not isinstance(readings, Readings):
            return _blind(Gate(measure=measure), rollout, now, readings)
        return judge.choose_better(
            measure,
            readings,
            new=rollout.deployment,
            stable=stable,
            alpha=1 - rollout.plan.strategy.confidence,
            at=now,
            step=rollout.step,
            min_requests=Gate(measure=measure).min_requests,
        )

    def _read(
        self,
        rollout: Rollout,
        deployments: Collection[str],
        measures: Collection[Measure],
        since: datetime | None,
        now: datetime,
        most: int | None = None,
    ) -> Readings | SignalboxError:
        """Read whole grains: those since a time, the last `most` of them, or both."""
        grain = self.metrics.grain
        end = _floor(now, grain)
        starts = [] if since is None else [_ceil(since, grain)]
        if most is not None:
            starts.append(end - grain * most)
        start = max(starts)
        if start >= end:
            minutes: dict[str, tuple[Minute, ...]] = {name: () for name in deployments}
            return Readings(start=end, end=end, grain=grain, minutes=minutes)
        try:
            return self.metrics.read(
                rollout.workspace, rollout.endpoint, deployments, measures, start=start, end=end
            )
        except SignalboxError as error:
            return error


def _kind_of_look(measure: Measure, rollout: Rollout, now: datetime) -> str:
    """Name what a look is counted with: those while a hold lasts, or those when it is over."""
    return f"{measure}/over" if _is_over(rollout, now) else measure


def _is_over(rollout: Rollout, now: datetime) -> bool:
    """Return whether the time of the hold is up."""
    step = rollout.current
    return step is not None and now >= rollout.since + step.span


def _blind(gate: Gate, rollout: Rollout, now: datetime, error: SignalboxError) -> Measurement:
    reason = redact(f"{error.code}: {error.message}", most=_REASON_MAX)
    found = judge.unavailable(
        gate, new=rollout.deployment, at=now, step=rollout.step, reason=reason
    )
    return replace(found, lasting=error.disposition is not Disposition.RETRY)


def _ceil(time: datetime, grain: timedelta) -> datetime:
    """Return the first beginning of a grain at a time or after it."""
    below = _floor(time, grain)
    return below if below == time else below + grain


def _floor(time: datetime, grain: timedelta) -> datetime:
    """Return the beginning of the grain that a time is in."""
    return time - (time - datetime.fromtimestamp(0, UTC)) % grain
