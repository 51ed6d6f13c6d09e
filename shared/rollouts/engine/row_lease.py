"""A tick's exclusive right to write its rollout's row. Only orders come in beside it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from shared.base.clock import Clock
from shared.base.documents import Kept
from shared.base.ports import RowChanged
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.rollout import Rollout


class RowLease:
    """Writes a rollout's row for one tick, each time on the condition that nothing was added."""

    def __init__(
        self,
        store: RolloutStore,
        kept: Kept[Rollout],
        clock: Clock,
        lease: timedelta,
        announce: Callable[[Rollout, Rollout], None] = lambda _before, _after: None,
    ) -> None:
        """Go on from the row as this tick wrote it when it began.

        `announce` is called before each write, so that a crash loses nothing that it announces.
        """
        self._announce = announce
        self._store = store
        self._kept = kept
        self._clock = clock
        self._lease = lease

    def begin(self, rollout: Rollout) -> None:
        """Write the rollout before something is begun that takes time, and keep the tick for it.

        The reads may have taken most of the lease, and a write that outlives it would come after
        those of the next worker with the tick.

        Raises: RowChanged.
        """
        self.save(_busy(rollout, self._clock.now() + self._lease))

    def save(self, rollout: Rollout) -> None:
        """Write the rollout.

        Raises: RowChanged where an order has come in, or another worker has the tick.
        """
        self._announce(self._kept.value, rollout)
        self._kept = self._store.save(rollout, etag=self._kept.etag)

    def release(self) -> None:
        """Give the tick up: it did not come to an end, but its worker lives.

        Raises: RowChanged, as `save` does.
        """
        self.save(_busy(self._kept.value, None))

    def hear(self, rollout: Rollout) -> Rollout:
        """Return the rollout with the orders that came in since it was written.

        Raises: RowChanged where another worker has the tick.
        """
        before = self._kept.value
        found = self._store.get(before.partition, before.id)
        heard = _with_orders(rollout, before, None if found is None else found.value)
        if found is None or heard is None:
            raise RowChanged("another worker has the tick")
        self._kept = found
        return heard

    def save_all(self, rollout: Rollout) -> Rollout:
        """Write the rollout with the orders that came in, and return it.

        Raises: RowChanged where another worker has the tick.
        """
        self._announce(self._kept.value, rollout)
        merge = partial(_with_orders, rollout, self._kept.value)
        saved = self._store.change(rollout, merge, known=self._kept).saved
        if saved is None:
            raise RowChanged("another worker has the tick")
        self._kept = saved
        return saved.value


def _with_orders(rollout: Rollout, before: Rollout, found: Rollout | None) -> Rollout | None:
    """Return the rollout with the orders that were added to its row; None if the tick is lost.

    `before` is the row as this tick wrote it, `found` the row as it is now.
    """
    if found is None or _turn(found) != _turn(before):
        return None
    orders = rollout.orders + found.orders[len(before.orders) :]
    return replace(rollout, orders=orders, heard=found.heard)


def _turn(rollout: Rollout) -> tuple[int, datetime | None]:
    return rollout.schedule.tick, rollout.schedule.busy_until


def _busy(rollout: Rollout, until: datetime | None) -> Rollout:
    return replace(rollout, schedule=replace(rollout.schedule, busy_until=until))
