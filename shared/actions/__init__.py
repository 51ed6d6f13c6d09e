"""The actions, under the names that they have in reactions.yaml."""

from collections.abc import Mapping

from shared.actions.deploy import DeployParams
from shared.actions.notify import NotifyParams
from shared.reactions.model import Params

#: What each action takes. The services build the actions themselves.
ACTIONS: Mapping[str, type[Params]] = {"deploy": DeployParams, "notify": NotifyParams}
