"""Give a rollout an order, from the command line or a console."""

from shared.base.errors import OrderImpossible
from shared.base.redact import redact
from shared.base.words import flat
from shared.rollouts.engine.advance import Rollouts
from shared.rollouts.state.orders import POSSIBLE, Order, OrderKind
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout

_BY_MAX = 100
WHY_MAX = 500


def possible_orders(rollout: Rollout) -> tuple[OrderKind, ...]:
    """Return the orders that the rollout can be given now."""
    kinds = tuple(kind for kind, phases in POSSIBLE.items() if rollout.phase in phases)
    if rollout.phase is Phase.LIVE and not rollout.stable:  # nothing served to go back to
        return tuple(kind for kind in kinds if kind is not OrderKind.ABORT)
    return kinds


def give_order(
    rollouts: Rollouts,
    rollout_id: str,
    kind: OrderKind,
    *,
    by: str,
    why: str,
    to_end: bool = False,
) -> Rollout:
    """Give the rollout of this whole id an order, and return it with the order; a tick does it.

    `by` says who gives it, in 1 to 100 printable characters, `why` the reason, in 1 to 500;
    `to_end` is of promote. Raises: OrderImpossible, and StorageUnavailable.
    """
    order = Order(
        kind=kind,
        by=_line("by", by, _BY_MAX),
        why=_line("why", why, WHY_MAX),
        at=rollouts.clock.now(),
        to_end=_require_promote(kind) if to_end else False,
    )
    for kept in rollouts.store.all():
        if kept.value.id == rollout_id:
            return rollouts.order(kept.value, order)
    raise OrderImpossible(f"there is no rollout {_shown(rollout_id)}")


def _line(name: str, text: str, most: int) -> str:
    """Return a text on one line, without secrets. Raises: OrderImpossible."""
    line = flat(text)
    if not line:
        raise OrderImpossible(f"`{name}` is empty", hint="Orders are kept with who, and why.")
    if len(line) > most:
        raise OrderImpossible(f"`{name}` has {len(line)} characters, the most is {most}")
    if not line.isprintable():
        raise OrderImpossible(f"`{name}` has characters that can't be printed")
    return redact(line, most=most)


def _require_promote(kind: OrderKind) -> bool:
    if kind is not OrderKind.PROMOTE:
        raise OrderImpossible(f"{kind}: only promote goes to the end")
    return True


def _shown(text: str) -> str:
    return redact("".join(char for char in text if char.isprintable()), most=40)
