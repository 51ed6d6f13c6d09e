"""The actions, under the names that they have in reactions.yaml."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from shared.reactions.model import Params

#: Of each action, the class of what it takes, in the action's module.
_CLASSES: Final = {
    "deploy": "DeployParams",
    "notify": "NotifyParams",
    "register": "RegisterParams",
    "retrain": "RetrainParams",
    "shift_traffic": "ShiftTrafficParams",
}


class _Actions(Mapping[str, type[Params]]):
    """Imports an action's module when a file first names it: most files don't use most actions."""

    def __getitem__(self, name: str) -> type[Params]:
        params: type[Params] = getattr(import_module(f"shared.actions.{name}"), _CLASSES[name])
        return params

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


#: What each action takes. The services build the actions themselves.
ACTIONS: Mapping[str, type[Params]] = _Actions()
