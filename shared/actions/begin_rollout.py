"""Makes the rollout that an action begins, with all its values settled."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from shared.actions.base import Work
from shared.base import telemetry
from shared.base.errors import ParamsInvalid
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import ModelRef, Moment, Plan, Rollout, Schedule, Traffic
from shared.rollouts.strategy.endpoint_kinds import find_misfit, settle
from shared.rollouts.strategy.model import Probe, Strategy
from shared.workspaces.model import EndpointKind


def settle_strategy(
    strategy: Strategy | None,
    name: str,
    probe: Probe,
    kind: EndpointKind,
    request_timeout: timedelta | None = None,
) -> Strategy:
    """Return a strategy as a rollout keeps it, with the action's probe if it has none.

    `request_timeout` is the action's as well.

    Raises: ParamsInvalid if there is no such strategy, or it does not fit the kind of endpoint.
    """
    if strategy is None:
        raise ParamsInvalid(f"there is no strategy {name!r}", hint="Declare it under `rollouts:`.")
    if misfit := find_misfit(strategy, kind):
        raise ParamsInvalid(f"strategy {name!r} {misfit}", hint="Choose or write another one.")
    return settle(strategy, kind, probe, request_timeout)


def begin(
    work: Work,
    *,
    read_file: Callable[[str], bytes],
    now: datetime,
    endpoint: str,
    deployment: str,
    model: ModelRef,
    plan: Plan,
    goal: Mapping[str, int],
    goes_back: bool = False,
    retraining: str = "",
) -> Rollout:
    """Return the rollout of a reaction's step; it has the id of the step's claim.

    Raises: ParamsInvalid if the app lacks a golden file, which is reported before the rollout
    starts.
    """
    for path in _files_of(plan):
        read_file(path)
    return Rollout(
        id=work.key.digest[:32],
        ref=work.ref,
        reaction_step=f"{work.reaction.name}/{work.key.step}",
        workspace=work.event.workspace,
        endpoint=endpoint,
        deployment=deployment,
        model=model,
        plan=plan,
        traffic=Traffic(goal=goal),
        phase=Phase.QUEUED,
        since=now,
        created_at=now,
        schedule=Schedule(due_at=now),
        history=(Moment(at=now, phase=Phase.QUEUED),),
        traceparent=telemetry.traceparent(),
        goes_back=goes_back,
        retraining=retraining,
        depth=work.find_cause().depth + 1,
    )


def _files_of(plan: Plan) -> set[str]:
    probes = [plan.probe, *(step.probe for step in plan.strategy.steps if step.probe is not None)]
    return {path for probe in probes for path in (probe.request, probe.output) if path}
