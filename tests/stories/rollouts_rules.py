"""The invariants of every rollout, checked before each write and after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from shared.rollouts.engine.store import TABLE
from shared.rollouts.state.orders import OrderKind
from shared.rollouts.state.phases import EXCLUSIVE, Phase
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.tags import TAG_ROLLOUT
from shared.rollouts.strategy.model import OnConflict
from shared.workspaces.model import Deployment, Endpoint, Operation, State
from tests.stories.world import WORKSPACE, World

ENDPOINT = "churn"
KEY = (WORKSPACE.key, ENDPOINT)

#: The requests that change an endpoint.
WRITES = frozenset(
    {
        "create_endpoint",
        "create_deployment",
        "set_traffic",
        "scale_deployment",
        "delete_deployment",
    }
)
READS = ("get_endpoint", "list_deployments", "get_operation", "score", "get_logs", "find_capacity")

#: No request takes longer: its client's timeouts see to that.
REQUEST_MOST = timedelta(seconds=30)

_BEFORE_STEPS = frozenset({Phase.QUEUED, Phase.CHECKING, Phase.ENDPOINT, Phase.DEPLOYMENT})
_BACK = frozenset({Phase.KEEPING, Phase.REMOVING, Phase.ROLLED_BACK})

_WENT_BACK = frozenset({Phase.ROLLING_BACK, Phase.KEEPING, Phase.REMOVING})

type Shares = Mapping[str, int]


@dataclass(slots=True)
class Tick:
    """A tick that is under way: whose it is, and what it has read."""

    rollout: str
    #: Whether it was aborted when the row said what is begun.
    is_aborted: bool = False
    read_at: int = 0
    states: Mapping[str, State] = field(default_factory=dict)


def plain(traffic: Shares, mirror: Shares) -> tuple[dict[str, int], dict[str, int]]:
    """Return a split and a mirror without what has no share."""
    one, other = ({k: v for k, v in shares.items() if v} for shares in (traffic, mirror))
    return one, other


class Rules:
    """Looks over the app's shoulder, and remembers what it takes to judge what it does.

    `interrupt` is called before and after each call of a port, with its name.
    """

    def __init__(self, world: World, interrupt: Callable[[str, str], None]) -> None:
        self.world = world
        self.interrupt = interrupt
        self.ticks: list[Tick] = []
        self.aborted: set[str] = set()
        #: Deployments of others, as those left them.
        self.theirs: dict[str, Deployment] = {}
        self.their_tags: dict[str, str] = {}
        self._broken: list[Exception] = []
        self._moment = 0
        self._changed_at = 0
        #: The splits that each rollout wrote, or believed in force when somebody changed them.
        self._known: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        self._written: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        #: When each rollout last took what is there for what it is to go on from.
        self._taken: dict[str, int] = {}
        self._watch()

    # Notes from the machine

    def tick(self, rollout: str, work: Callable[[], None]) -> None:
        """Do a tick's work, or, for no rollout, what a person does."""
        self.ticks.append(Tick(rollout))
        try:
            work()
        finally:
            self.ticks.pop()

    def changed_by_somebody(self) -> None:
        """Take note that somebody else has just changed a split."""
        self._changed_at = self._now()
        for rollout in self.rollouts():
            self._known[rollout.id] = plain(rollout.traffic.split, rollout.traffic.mirror)

    # The state of the world

    def rollouts(self) -> list[Rollout]:
        """Return every rollout, as its row is."""
        return self.world.all_rollouts()

    def endpoint(self) -> Endpoint | None:
        """Return the endpoint as it is now."""
        return self.world.workspaces.endpoints.get(KEY)

    def deployments(self) -> dict[str, Deployment]:
        """Return the deployments as they are now."""
        return self.world.workspaces.deployments.get(KEY, {})

    def split(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the split and the mirror that are in force."""
        found = self.endpoint()
        return plain(found.traffic, found.mirror) if found else ({}, {})

    def share(self, name: str) -> int:
        """Return the live and mirrored share of a deployment."""
        traffic, mirror = self.split()
        return traffic.get(name, 0) + mirror.get(name, 0)

    # The inside

    def _now(self) -> int:
        self._moment += 1
        return self._moment

    def _watch(self) -> None:
        world = self.world
        for name in (*WRITES, *READS):
            self._wrap(world.workspaces, name, name)
        self._wrap(world.metrics, "read", "read_metrics")
        self._wrap(world.tables, "insert", "write_row")
        self._wrap(world.tables, "replace", "write_row", self._replace)
        self._wrap(world.tables, "delete", "write_row")
        self._wrap(world.queues, "send", "send")
        self._wrap(world.channels, "send", "tell")

    def _wrap(
        self, port: Any, name: str, label: str, call: Callable[..., Any] | None = None
    ) -> None:
        inner = getattr(port, name)
        setattr(port, name, self._watched(label, partial(call, inner) if call else inner))

    def _watched(self, label: str, call: Callable[..., Any]) -> Callable[..., Any]:
        before = getattr(self, f"_before_{label}", None)
        after = getattr(self, f"_after_{label}", None)

        def watched(*args: Any, **kwargs: Any) -> Any:
            if label in WRITES:
                self._look(self._before_write)
            if before is not None:
                self._look(before, *args, **kwargs)
            self.interrupt(label, "before")
            result = call(*args, **kwargs)
            if after is not None:
                self._look(after, result, *args, **kwargs)
            self.interrupt(label, "after")
            return result

        return watched

    def _look(self, rule: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Keep what is broken: the app takes it for a fault of a port's, and goes on."""
        try:
            rule(*args, **kwargs)
        except Exception as error:
            self._broken.append(error)
            raise

    def _writer(self) -> Rollout:
        (found,) = [one for one in self.rollouts() if one.id == self.ticks[-1].rollout]
        return found

    def _before_write(self) -> None:
        """The writer has the endpoint, and the tick for as long as a request may take."""
        writer = self._writer()
        row = self.world.tables.get(TABLE, writer.partition, "lock")
        assert row is not None
        assert row.values["holder"] == writer.id, "it has the lock"
        assert writer.schedule.busy_until is not None
        assert writer.schedule.busy_until >= self.world.clock.now() + REQUEST_MOST, (
            "it has the tick"
        )

    def _after_get_endpoint(self, result: object, *args: Any, **kwargs: Any) -> None:
        if self.ticks:
            self.ticks[-1].read_at = self._now()

    def _after_list_deployments(
        self, result: tuple[Deployment, ...], *args: Any, **kwargs: Any
    ) -> None:
        if self.ticks:
            self.ticks[-1].states = {found.name: found.state for found in result}

    def _before_set_traffic(
        self,
        workspace: object,
        endpoint: Endpoint,
        traffic: Shares,
        tags: Mapping[str, str],
        *,
        mirror: Shares,
    ) -> None:
        writer, states = self._writer(), self.ticks[-1].states
        assert sum(traffic.values()) in (0, 100)
        assert sum(mirror.values()) <= 50
        wanted = plain(traffic, mirror)
        assert not wanted[0].keys() & wanted[1].keys(), "live or mirrored"
        for name in (*wanted[0], *wanted[1]):
            assert states[name] is State.SUCCEEDED, "it was healthy when it was read"
        is_seen = self._changed_at < self.ticks[-1].read_at
        for name, part in self.split()[1].items() if is_seen and not wanted[1] else ():
            is_fit = states[name] is State.SUCCEEDED and not wanted[0].get(name)
            assert name == writer.deployment or not is_fit, f"{part}% to {name} were somebody's"
        if self.ticks[-1].is_aborted:
            ours = wanted[0].get(writer.deployment, 0) + wanted[1].get(writer.deployment, 0)
            least = max(
                self.share(writer.deployment), writer.traffic.origin.get(writer.deployment, 0)
            )
            assert ours <= least, "abort beats what had been decided"
        if is_seen and self._changed_at > self._taken.get(writer.id, 0):
            self._check_theirs(writer, wanted)

    def _check_theirs(self, writer: Rollout, wanted: tuple[dict[str, int], dict[str, int]]) -> None:
        """A rollout overwrites nobody's split, except to take its own share away."""
        now = self.split()
        mine = (
            self._known.get(writer.id),
            self._written.get(writer.id),
            plain(writer.traffic.goal, {}),
            wanted,
        )
        if now in mine:
            return
        if writer.phase is not Phase.ROLLING_BACK:
            assert writer.plan.strategy.on_conflict is OnConflict.ADOPT, f"{now} was somebody's"
            return
        if writer.plan.creates:
            states = self.ticks[-1].states
            # Nobody goes back to what was itself gone back from.
            unfit = {one.deployment for one in self.rollouts() if one.phase in _WENT_BACK}
            others = {
                name: part
                for name, part in now[0].items()
                if name not in {writer.deployment, *unfit} and states[name] is State.SUCCEEDED
            }
            total = sum(others.values())
            for name, part in others.items():
                kept = part * 100 / total
                assert abs(wanted[0].get(name, 0) - kept) <= 1, "others keep their proportions"

    def _after_set_traffic(
        self,
        result: Operation,
        workspace: object,
        endpoint: Endpoint,
        traffic: Shares,
        tags: Mapping[str, str],
        *,
        mirror: Shares,
    ) -> None:
        self._written[self.ticks[-1].rollout] = plain(traffic, mirror)

    def _before_delete_deployment(
        self, workspace: object, endpoint: str, name: str, **kwargs: Any
    ) -> None:
        found = self.deployments().get(name)
        if found is not None:
            assert TAG_ROLLOUT in found.tags, "Signalbox made it"

    def _after_delete_deployment(
        self, result: Operation, workspace: object, endpoint: str, name: str, **kwargs: Any
    ) -> None:
        assert not self.share(name), "it has no traffic"

    def _replace(
        self, call: Callable[..., str], table: str, partition: str, key: str, values: Any, **kw: Any
    ) -> str:
        """Write a row, and look at what it says of a rollout."""
        if table != TABLE or key == "lock":
            return call(table, partition, key, values, **kw)
        kept = self.world.rollouts.store.get(partition, key)
        etag = call(table, partition, key, values, **kw)
        after = self.world.rollouts.store.get(partition, key)
        assert kept is not None
        assert after is not None
        self._look(self._hear, kept.value, after.value)
        return etag

    def _hear(self, before: Rollout, after: Rollout) -> None:
        kinds = {order.kind for order in after.orders}
        if OrderKind.RETRY in kinds or after.attempt.retries > before.attempt.retries:
            self.aborted.discard(after.id)
        if OrderKind.ABORT in kinds:
            self.aborted.add(after.id)
        passed = [before.phase, *(moment.phase for moment in after.history[len(before.history) :])]
        is_own = bool(self.ticks) and self.ticks[-1].rollout == after.id
        if is_own:
            self.ticks[-1].is_aborted = after.id in self.aborted
        if is_own and {*_BEFORE_STEPS, Phase.HELD}.intersection(passed):
            self._taken[after.id] = self.ticks[-1].read_at
        if before.phase in _BEFORE_STEPS and after.phase in _BEFORE_STEPS:
            self._taken[after.id] = self._moment
        if Phase.ROLLING_BACK in passed and after.phase in _BACK and before.phase not in _BACK:
            self._check_back(after)

    def _check_back(self, rollout: Rollout) -> None:
        """A rollout that says that it is back is back, but for what somebody did since."""
        is_theirs = self._changed_at > self.ticks[-1].read_at
        if is_theirs or "nothing healthy" in rollout.reason or not rollout.plan.creates:
            return
        found = self.endpoint()
        assert found is None or found.state.is_settled
        assert not self.share(rollout.deployment), "it has no share"

    # Invariants between any two events

    def check(self) -> None:
        """Hold what is there against what must always hold."""
        for error in self._broken:
            raise error
        found = self.endpoint()
        if found is not None:
            traffic, mirror = self.split()
            assert sum(traffic.values()) in (0, 100)
            assert sum(mirror.values()) <= 50
            assert not traffic.keys() & mirror.keys()
            assert self.their_tags.items() <= found.tags.items()
        # A step may scale a deployment that the reaction names.
        named = {one.deployment for one in self.rollouts() if not one.plan.creates}
        for name in self.theirs.keys() - named:
            assert self.deployments().get(name) == self.theirs[name]
        holders = [one for one in self.rollouts() if one.has_endpoint]
        assert len(holders) <= 1, "one at a time has the endpoint"
        assert all(one.phase in EXCLUSIVE for one in holders)
