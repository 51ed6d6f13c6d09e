"""Apply a decision: send the requests that a rollout's writes stand for."""

from dataclasses import replace

from shared.base.errors import SignalboxError
from shared.base.redact import redact
from shared.events.causes import TAG_DEPTH, TAG_REACTION
from shared.rollouts.deciding.decisions import (
    CreateDeployment,
    CreateEndpoint,
    DeleteDeployment,
    Scale,
    SetTraffic,
    Write,
)
from shared.rollouts.deciding.observation import Observation
from shared.rollouts.state.rollout import Rollout
from shared.rollouts.state.tags import (
    TAG_DEPLOYMENT,
    TAG_ENVIRONMENT,
    TAG_MODEL,
    TAG_ROLLOUT,
    TAG_VERSION,
    is_marked,
)
from shared.workspaces.model import Deployment, DeploymentSpec, Endpoint, EndpointKind, Operation
from shared.workspaces.ports import Workspaces

#: So many lines of the log of a container that failed are kept, and sent to people.
LOG_LINES = 20
_LOG_MAX = 3000
_NO_LOG = "(the container wrote no log)"


def apply(command: Write, rollout: Rollout, seen: Observation, workspaces: Workspaces) -> Rollout:
    """Start the operation that the command stands for and return the rollout that waits for it.

    Raises: WorkspaceError.
    """
    workspace, endpoint, plan = rollout.workspace, rollout.endpoint, rollout.plan
    match command:
        case CreateEndpoint():
            operation = workspaces.create_endpoint(
                workspace,
                endpoint,
                auth_mode=plan.auth_mode,
                tags={**plan.tags, TAG_MODEL: rollout.model.name},
                kind=plan.kind,
                compute=plan.compute,
                is_public=plan.is_public,
                identities=plan.identities,
            )
        case CreateDeployment():
            operation = workspaces.create_deployment(
                workspace, endpoint, rollout.deployment, _spec(rollout)
            )
        case SetTraffic():
            operation = _set_traffic(command, rollout, seen, workspaces)
        case Scale():
            operation = workspaces.scale_deployment(
                workspace, endpoint, command.name, command.instances
            )
        case DeleteDeployment():
            operation = workspaces.delete_deployment(
                workspace, endpoint, command.name, kind=plan.kind
            )
    tries = rollout.work.tries + 1
    work = replace(rollout.work, operation=operation, submitted=True, tries=tries)
    return replace(rollout, work=work)


def _spec(rollout: Rollout) -> DeploymentSpec:
    container = rollout.plan.container
    own = {TAG_ENVIRONMENT: container.environment_words} if container else {}
    return DeploymentSpec(
        model_id=rollout.model.id,
        instance_type=rollout.plan.instance_type,
        instance_count=rollout.plan.instance_count,
        kind=rollout.plan.kind,
        compute=rollout.plan.compute,
        serving=rollout.plan.serving,
        container=container,
        tags={
            **rollout.plan.tags,
            TAG_MODEL: rollout.model.name,
            TAG_VERSION: rollout.model.version,
            TAG_ROLLOUT: rollout.id,
            **own,
            **_tags_of_depth(rollout),
        },
    )


def _tags_of_depth(rollout: Rollout) -> dict[str, str]:
    """Return the tags by which an event of the deployment shows the reaction that caused it."""
    reaction, _, _ = rollout.reaction_step.partition("/")
    return {TAG_REACTION: reaction, TAG_DEPTH: str(rollout.depth)} if rollout.depth else {}


def _set_traffic(
    command: SetTraffic, rollout: Rollout, seen: Observation, workspaces: Workspaces
) -> Operation:
    assert isinstance(seen.endpoint, Endpoint)  # decided from it
    tags = _tags(command, rollout, seen) if is_marked(rollout, seen.endpoint) else {}
    return workspaces.set_traffic(
        rollout.workspace, seen.endpoint, command.traffic, tags, mirror=command.mirror
    )


def _tags(command: SetTraffic, rollout: Rollout, seen: Observation) -> dict[str, str]:
    serving = seen.find(command.serving)
    model, version = model_of(serving) if serving else (rollout.model.name, "")
    return {
        **rollout.plan.tags,
        TAG_MODEL: model,
        TAG_VERSION: version,
        TAG_DEPLOYMENT: command.serving,
        TAG_ROLLOUT: serving.tags.get(TAG_ROLLOUT, "") if serving else "",
    }


def model_of(deployment: Deployment) -> tuple[str, str]:
    """Return name and version of a deployment's model, from its tags or else its ARM id."""
    if TAG_MODEL in deployment.tags:
        return deployment.tags[TAG_MODEL], deployment.tags.get(TAG_VERSION, "")
    parts = deployment.model.split("/")
    if len(parts) >= 4 and parts[-4].lower() == "models" and parts[-2].lower() == "versions":
        return parts[-3], parts[-1]
    return "", ""


def read_logs(rollout: Rollout, workspaces: Workspaces) -> str:
    """Return the last log lines, or why they can't be read, which must not stop a rollback."""
    if rollout.plan.kind is EndpointKind.BATCH:
        return "(a batch deployment has no log but those of its jobs)"
    try:
        text = workspaces.get_logs(
            rollout.workspace, rollout.endpoint, rollout.deployment, lines=LOG_LINES
        )
    except SignalboxError as error:
        return f"(the log could not be read: {redact(error.message, most=200)})"
    lines = text.strip().splitlines()[-LOG_LINES:]
    return redact("\n".join(lines), most=_LOG_MAX) or _NO_LOG
