"""`- probe:`, `- probe: {request: golden/churn.json}`: the new deployment answers a request."""

from dataclasses import replace
from datetime import timedelta

from shared.rollouts.strategy.model import Probe, RolloutStep, StepKind
from shared.rollouts.strategy.probe_schema import ProbeParams
from shared.rollouts.strategy.steps.written_step import WrittenStep


class WrittenProbe(WrittenStep):
    """A probe without values is the action's own."""

    kind = StepKind.PROBE
    value = ProbeParams | None

    def read(self, value: ProbeParams | None) -> RolloutStep:
        has_values = value is not None and bool(value.model_fields_set)
        probe = Probe(**value.model_dump()) if value is not None and has_values else None
        return RolloutStep(kind=self.kind, probe=probe)

    def words(self, step: RolloutStep) -> str:
        return f"probe {step.probe.request}".rstrip() if step.probe else "probe"

    def settle(self, step: RolloutStep, probe: Probe, wait: timedelta) -> RolloutStep:
        own = step.probe or probe
        return replace(step, probe=replace(own, timeout=own.timeout or wait))
