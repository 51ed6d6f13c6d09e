"""The `rollout` action: give the rollouts of an endpoint or a model an order, as a person would."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.actions.allowed import require_allowed
from shared.actions.base import Work
from shared.actions.current_state import current_event
from shared.actions.rollout.params import OrderRolloutsParams
from shared.base.clock import Clock
from shared.base.errors import OrderImpossible, RolloutAbsent, Superseded
from shared.base.ids import slug
from shared.base.redact import redact
from shared.events.fields import one_line
from shared.events.model import Event, Workspace, as_data
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.rollouts.engine.advance import Rollouts
from shared.rollouts.engine.give_order import WHY_MAX, possible_orders
from shared.rollouts.state.orders import Order, OrderKind
from shared.rollouts.state.phases import UNDECIDED, Phase
from shared.rollouts.state.rollout import Rollout, endpoint_key
from shared.workspaces.ports import Workspaces

_NAMED_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """The rollouts that are meant: of an endpoint, of a model, or of both."""

    workspace: Workspace
    endpoint: str
    model: str
    even_live: bool

    @property
    def words(self) -> str:
        of = f" of {redact(self.model, most=_NAMED_MAX)}" if self.model else ""
        on = f" on {self.endpoint}" if self.endpoint else ""
        return f"{of}{on}"


class OrderRollouts:
    """Gives orders to rollouts."""

    may_fail = False

    def __init__(self, *, workspaces: Workspaces, rollouts: Rollouts, clock: Clock) -> None:
        """Read the event's model or run from the workspace."""
        self._workspaces = workspaces
        self._rollouts = rollouts
        self._clock = clock

    def act(self, work: Work) -> Outcome:
        """Give the order to each rollout that is meant and can take it; a tick carries it out.

        An order that was given before a crash is not given again.

        Raises: RolloutAbsent, ModelAbsent, RunAbsent, Superseded, TagForbidden, ExpressionFailed,
        ParamsInvalid, WorkspaceError, and StorageUnavailable.
        """
        event = current_event(self._workspaces, work.event, self._clock.now())
        if not work.still_holds(event):
            raise Superseded(f"{event.about} has changed, and `when` no longer holds")
        params = work.params(OrderRolloutsParams, event)
        require_allowed(work.step, params, as_data(event))
        order = self._order(work, params, event)
        wanted = _wanted(params, event)
        given, refused = [], []
        for rollout in self._find(wanted, order.kind, work.key.digest):
            try:
                self._rollouts.order(rollout, order, key=work.key.digest)
                given.append(_named(rollout))
            except OrderImpossible as error:
                refused.append(f"{_named(rollout)}: {error.message}")
        if given:
            detail = f"{order.kind} is ordered for {', '.join(given)}"
            return Outcome(status=OutcomeStatus.DONE, detail="; ".join([detail, *refused]))
        if refused:
            code, detail = OrderImpossible.code, "; ".join(refused)
            return Outcome(status=OutcomeStatus.SKIPPED, detail=detail, code=code)
        raise RolloutAbsent(f"no rollout{wanted.words} is under way that can take {order.kind}")

    def _order(self, work: Work, params: OrderRolloutsParams, event: Event) -> Order:
        return Order(
            kind=OrderKind(params.order),
            by=f"reaction {work.reaction.name}",
            why=one_line(params.why or f"{event.type} {event.about}", most=WHY_MAX),
            at=self._clock.now(),
            to_end=params.to_end,
        )

    def _find(self, wanted: _Wanted, kind: OrderKind, key: str) -> tuple[Rollout, ...]:
        """Return the rollouts that are meant, and those that have this very order already.

        One that is queued has changed nothing yet, and may be what mends the endpoint. Only where
        none is under way, the newest one that is live on each endpoint is taken back.
        """
        found = tuple(self._of(wanted))
        has_it = [rollout for rollout in found if key in rollout.heard]
        under_way = [
            rollout
            for rollout in found
            if rollout.phase in UNDECIDED and rollout.phase is not Phase.QUEUED
        ]
        if has_it or under_way:
            return tuple({rollout.id: rollout for rollout in (*has_it, *under_way)}.values())
        live: dict[str, Rollout] = {}
        for rollout in sorted(found, key=lambda rollout: rollout.created_at):
            if wanted.even_live and rollout.phase is Phase.LIVE:
                live[rollout.partition] = rollout
        return tuple(rollout for rollout in live.values() if kind in possible_orders(rollout))

    def _of(self, wanted: _Wanted) -> Iterator[Rollout]:
        """Yield the open rollouts of the endpoint, the model or both, in any phase."""
        key = endpoint_key(wanted.workspace, wanted.endpoint) if wanted.endpoint else None
        for kept in self._rollouts.store.open(key):
            is_there = kept.value.workspace.key == wanted.workspace.key
            if is_there and wanted.model in ("", kept.value.model.name):
                yield kept.value


def _wanted(params: OrderRolloutsParams, event: Event) -> _Wanted:
    """Return which rollouts are meant. Raises: RolloutAbsent if the event names none."""
    for name in ("endpoint", "model"):
        if name in params.model_fields_set and not getattr(params, name):
            raise RolloutAbsent(f"`{name}` is empty for this event, so no rollout is meant")
    return _Wanted(
        workspace=event.workspace,
        endpoint=slug(params.endpoint) if params.endpoint else "",
        model=params.model,
        even_live=params.even_live,
    )


def _named(rollout: Rollout) -> str:
    return f"rollout {rollout.id[:8]} of {rollout.model.words or rollout.deployment}"
