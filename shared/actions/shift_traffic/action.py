"""The `shift_traffic` action: move an endpoint's traffic between existing deployments.

The event is only a hint. The action reads the endpoint as the workspace has it now, decides from it
how much to move between which deployments, starts a rollout and returns.
"""

from collections.abc import Callable, Collection, Mapping

from shared.actions.allowed import require_allowed
from shared.actions.base import Work
from shared.actions.begin_rollout import begin, settle_strategy
from shared.actions.current_state import current_event
from shared.actions.shift_traffic.params import ShiftTrafficParams
from shared.actions.shift_traffic.way_back import PREVIOUS, find_meant, is_way_back
from shared.actions.telling import tell_once
from shared.base.clock import Clock
from shared.base.errors import NoWayBack, ParamsInvalid, Superseded
from shared.base.ids import slug
from shared.base.redact import redact
from shared.events.model import as_data
from shared.journal.outcomes import Outcome, OutcomeStatus
from shared.messages.notice import Text
from shared.messages.outbox import Outbox
from shared.rollouts.engine.advance import Rollouts
from shared.rollouts.engine.apply import model_of
from shared.rollouts.state.rollout import ModelRef, Plan, Rollout, endpoint_key
from shared.rollouts.state.splits import is_same, share, words
from shared.rollouts.strategy.model import Strategy
from shared.workspaces.model import Deployment, Endpoint, EndpointKind, State
from shared.workspaces.ports import Workspaces

_LISTED_MAX = 300


class ShiftTraffic:
    """Starts the rollout of a split."""

    may_fail = False

    def __init__(
        self,
        *,
        workspaces: Workspaces,
        rollouts: Rollouts,
        outbox: Outbox,
        clock: Clock,
        find_strategy: Callable[[str], Strategy | None],
        read_file: Callable[[str], bytes],
    ) -> None:
        """Find strategies and files of the app by name."""
        self._workspaces = workspaces
        self._rollouts = rollouts
        self._outbox = outbox
        self._clock = clock
        self._find_strategy = find_strategy
        self._read_file = read_file

    def act(self, work: Work) -> Outcome:
        """Start a rollout, or find the one that was started before a crash.

        Its values are made from the model or run as the workspace has it, not as the event
        described it.

        Raises: ModelAbsent, RunAbsent, Superseded, TagForbidden, ExpressionFailed, ParamsInvalid,
        NoWayBack, and WorkspaceError.
        """
        event = current_event(self._workspaces, work.event, self._clock.now())
        if not work.still_holds(event):
            raise Superseded(f"{event.about} has changed, and `when` no longer holds")
        params = work.params(ShiftTrafficParams, event)
        require_allowed(work.step, params, as_data(event))
        where, kind = (work.event.workspace, slug(params.endpoint)), EndpointKind(params.kind)
        endpoint = self._workspaces.get_endpoint(*where, kind=kind)
        if endpoint is None:
            raise ParamsInvalid(f"there is no {_kind_prefix(kind)}endpoint {where[1]}")
        deployments = self._workspaces.list_deployments(*where, kind=kind)
        is_back = is_way_back(params.to, deployments)
        begun = self._find_begun(work, where[1]) if is_back else None
        if begun is not None:
            return _begun(self._rollouts.start(begun))
        if is_back:
            back = self._way_back(work, params, endpoint, deployments)
            plan = self._plan(work, back, endpoint, deployments, params.to == PREVIOUS)
        else:
            plan = self._plan(work, params, endpoint, deployments)
        if self._is_done(plan, endpoint):
            detail = f"the endpoint has this split already: {words(plan.traffic.goal)}"
            return Outcome(status=OutcomeStatus.DONE, detail=detail)
        return _begun(self._rollouts.start(plan))

    def _find_begun(self, work: Work, endpoint: str) -> Rollout | None:
        """Return the rollout that was started before a crash: it is not the one to go back from."""
        partition = endpoint_key(work.event.workspace, endpoint)
        kept = self._rollouts.store.get(partition, work.key.digest[:32])
        return None if kept is None else kept.value

    def _way_back(
        self,
        work: Work,
        params: ShiftTrafficParams,
        endpoint: Endpoint,
        deployments: Collection[Deployment],
    ) -> ShiftTrafficParams:
        """Return the values with the deployment that is meant in place of `previous` or `stable`.

        Raises: NoWayBack, of which the action's channels are told.
        """
        partition = endpoint_key(work.event.workspace, endpoint.name)
        known = (kept.value for kept in self._rollouts.store.of_endpoint(partition))
        try:
            to = find_meant(params.to, endpoint, deployments, known)
        except NoWayBack as error:
            text = Text(
                title=f"The traffic of {endpoint.name} was not moved to what is {params.to}",
                body=f"Reason: {error.message}\nReaction: {work.reaction.name}",
                good=False,
            )
            raise NoWayBack(error.message + tell_once(self._outbox, params.notify, text)) from None
        return params.model_copy(update={"to": to})

    def _plan(
        self,
        work: Work,
        params: ShiftTrafficParams,
        endpoint: Endpoint,
        deployments: Collection[Deployment],
        goes_back: bool = False,
    ) -> Rollout:
        goal = find_goal(params, deployments)
        growing = find_growing(goal, endpoint.traffic)
        (chosen,) = (found for found in deployments if found.name == growing)
        name, version = model_of(chosen)
        probe = params.probe.settle()
        found = self._find_strategy(params.rollout)
        return begin(
            work,
            read_file=self._read_file,
            now=self._clock.now(),
            endpoint=slug(params.endpoint),
            deployment=growing,
            model=ModelRef(id=chosen.model, name=name, version=version),
            plan=Plan(
                strategy=settle_strategy(found, params.rollout, probe, endpoint.kind),
                probe=probe,
                creates=False,
                kind=endpoint.kind,
                timeout=params.timeout,
                channels=params.notify,
            ),
            goal=goal,
            goes_back=goes_back,
        )

    def _is_done(self, rollout: Rollout, endpoint: Endpoint) -> bool:
        """Say whether nothing is to be moved, now or when other rollouts have ended."""
        return (
            is_same(endpoint.traffic, rollout.traffic.goal)
            and not self._rollouts.has_begun(rollout)
            and self._rollouts.find_undecided(rollout) is None
        )


def _begun(rollout: Rollout) -> Outcome:
    detail = f"rollout of {words(rollout.traffic.goal)} on {rollout.endpoint}"
    return Outcome(status=OutcomeStatus.WAITING, detail=detail, rollout=rollout.id)


def _kind_prefix(kind: str) -> str:
    return "batch " if kind == "batch" else ""


def find_goal(params: ShiftTrafficParams, deployments: Collection[Deployment]) -> Mapping[str, int]:
    """Return the wanted split, in percent by deployment name.

    Raises: ParamsInvalid, with the deployments that are there.
    """
    if params.to_version:
        return {_find_version(params.to_version, deployments): 100}
    wanted = {params.to: 100} if params.to else params.split
    own = {found.name.lower(): found.name for found in deployments}
    absent = [name for name, part in wanted.items() if part and name.lower() not in own]
    if absent:
        raise ParamsInvalid(
            f"the endpoint has no deployment {' and no '.join(absent)}",
            hint=_list_hint(deployments),
        )
    return {own[name.lower()]: part for name, part in wanted.items() if part}


def _find_version(version: str, deployments: Collection[Deployment]) -> str:
    """Return the deployment of a model version; of several, the only one that can serve."""
    of_it = [found for found in deployments if model_of(found)[1] == version]
    fit = [found for found in of_it if found.state is State.SUCCEEDED] or of_it
    if not fit:
        shown = redact(version, most=100)
        message = f"the endpoint has no deployment of version {shown!r}"
        raise ParamsInvalid(message, hint=_list_hint(deployments))
    if len(fit) > 1:
        message = f"several deployments are of version {version}: {_list(fit)}"
        raise ParamsInvalid(message, hint="Name one of them with `to`.")
    return fit[0].name


def _list_hint(deployments: Collection[Deployment]) -> str:
    return f"It has {_list(deployments) or 'none'}."


def _list(deployments: Collection[Deployment]) -> str:
    shown = (
        f"{found.name} ({version})" if (version := model_of(found)[1]) else found.name
        for found in sorted(deployments, key=lambda found: found.name)
    )
    return redact(", ".join(shown), most=_LISTED_MAX)


def find_growing(goal: Mapping[str, int], traffic: Mapping[str, int]) -> str:
    """Return the deployment whose share grows most, among equals the one with the largest goal."""
    return max(goal, key=lambda name: (goal[name] - share(traffic, name), goal[name], name))
