"""Observe what a rollout decides from: the endpoint, its deployments, the operation under way."""

from dataclasses import dataclass, replace
from datetime import timedelta

from shared.base.errors import WorkspaceDenied, WorkspaceRefused
from shared.rollouts.deciding.exits import find_order
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, TERMINAL, Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.strategy.model import Newer
from shared.workspaces.model import Deployment, Operation, OperationResult, OperationStatus, State
from shared.workspaces.ports import Workspaces

#: Deciding in these phases needs no observation.
_BLIND = frozenset({Phase.LIVE, Phase.KEEPING, *TERMINAL})
#: In these phases the other rollouts on the endpoint matter.
_RETURNING = frozenset({Phase.ROLLING_BACK, Phase.RETIRING, Phase.REMOVING})
#: In these phases a rollout has failed: nobody goes back to its deployment.
_WENT_BACK = frozenset({Phase.ROLLING_BACK, Phase.KEEPING, Phase.REMOVING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Makes the observations that ticks decide from."""

    store: RolloutStore
    workspaces: Workspaces
    grain: timedelta

    def observe(self, rollout: Rollout, seen: Observation | None) -> tuple[Rollout, Observation]:
        """Read what deciding needs in this phase, and no more; take the endpoint if need be."""
        if seen is not None:
            return rollout, seen
        if rollout.phase in _BLIND or find_order(rollout, OrderKind.ABORT):
            return rollout, Observation()
        if rollout.phase in EXCLUSIVE and not rollout.has_endpoint:
            if not self.store.lock(rollout):
                asks = rollout.phase is Phase.QUEUED
                asks = asks and rollout.plan.strategy.newer is not Newer.WAIT
                holder = self.store.find_holder(rollout) if asks else None
                return rollout, Observation(holder=holder)
            rollout = replace(rollout, has_endpoint=True)
            if rollout.phase is Phase.QUEUED:
                return rollout, Observation(has_lock=True)
        return rollout, self._look(rollout)

    def _look(self, rollout: Rollout) -> Observation:
        operation = None
        if rollout.work.operation is not None and rollout.work.operation.url:
            operation = self._find_operation(rollout.work.operation)
            if operation.status is OperationStatus.RUNNING:
                return Observation(has_lock=True, operation=operation)
        where, kind = (rollout.workspace, rollout.endpoint), rollout.plan.kind
        endpoint = self.workspaces.get_endpoint(*where, kind=kind)
        found = self.workspaces.list_deployments(*where, kind=kind) if endpoint is not None else ()
        deployments = {deployment.name: deployment for deployment in found}
        ours = deployments.get(rollout.deployment)
        if operation is None and rollout.phase is Phase.DEPLOYMENT and ours is not None:
            operation = self._find_reason(ours)
        seen = Observation(
            has_lock=True,
            has_looked=True,
            endpoint=endpoint,
            deployments=deployments,
            operation=operation,
            grain=self.grain,
        )
        return self._find_others(rollout, seen)

    def _find_others(self, rollout: Rollout, seen: Observation) -> Observation:
        """Add what other rollouts on the endpoint say of deployments that this one may touch."""
        if rollout.phase not in _RETURNING:
            return seen
        others = [
            kept.value for kept in self.store.open(rollout.partition) if kept.value.id != rollout.id
        ]
        failed = (each for each in others if each.plan.creates and each.phase in _WENT_BACK)
        return replace(
            seen,
            failed=frozenset(each.deployment for each in failed),
            needed=frozenset(each.stable for each in others if each.phase is Phase.LIVE),
        )

    def _find_reason(self, ours: Deployment) -> OperationResult | None:
        """Return why our deployment failed, although the operation's address was lost in a crash.

        Only the operation's document has the reason, and the resource remembers where that is.
        """
        if ours.state is not State.FAILED or not ours.operation:
            return None
        return self._find_operation(Operation(url=ours.operation))

    def _find_operation(self, operation: Operation) -> OperationResult:
        try:
            return self.workspaces.get_operation(operation)
        except (WorkspaceDenied, WorkspaceRefused) as error:
            # The resource itself has its state, if not the reason. This is enough where the address
            # is not one of ARM's, or where the app has no right to read operations.
            return OperationResult(status=OperationStatus.UNKNOWN, message=error.message)
