"""The tags of an endpoint that say what serves. On a deployment they mark it as Signalbox's."""

from shared.rollouts.state.rollout import Rollout
from shared.workspaces.model import Endpoint

TAG_MODEL = "signalbox_model"
TAG_VERSION = "signalbox_version"
TAG_DEPLOYMENT = "signalbox_deployment"
TAG_ROLLOUT = "signalbox_rollout"
#: On a deployment that runs code of its own: name and version of its environment.
TAG_ENVIRONMENT = "signalbox_environment"


def is_marked(rollout: Rollout, endpoint: Endpoint) -> bool:
    """Return whether the endpoint has, or is to have, the tags that say what serves.

    Moving the traffic of somebody's endpoint does not make it Signalbox's.
    """
    return rollout.plan.creates or TAG_MODEL in endpoint.tags
