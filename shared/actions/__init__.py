"""The actions, under the names that they have in reactions.yaml."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from shared.reactions.model import Params

#: Of each action, the class of its values, in `params` of the action's folder.
_CLASSES: Final = {
    "deploy": "DeployParams",
    "notify": "NotifyParams",
    "register": "RegisterParams",
    "retrain": "RetrainParams",
    "shift_traffic": "ShiftTrafficParams",
}


class _Actions(Mapping[str, type[Params]]):
    """Imports the values of an action when a file first names it: most files use few actions."""

    def __getitem__(self, name: str) -> type[Params]:
        module = import_module(f"shared.actions.{name}.params")
        params: type[Params] = getattr(module, _CLASSES[name])
        return params

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


#: The values of each action. The services build the actions.
ACTIONS: Mapping[str, type[Params]] = _Actions()
