"""The actions, under the names that they have in reactions.yaml."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from shared.actions import deploy, notify, publish, register, retrain, rollout, shift_traffic, start

if TYPE_CHECKING:
    from shared.actions.base import Action, ActionFolder, Parts
    from shared.actions.live import LiveStep, Question
    from shared.reactions.model import Params

_FOLDERS: "Final[Mapping[str, ActionFolder]]" = {
    "deploy": deploy,
    "notify": notify,
    "publish": publish,
    "register": register,
    "retrain": retrain,
    "rollout": rollout,
    "shift_traffic": shift_traffic,
    "start": start,
}


class _Actions(Mapping[str, "type[Params]"]):
    """Imports the values of an action when a file first names it: most files use few actions."""

    def __getitem__(self, name: str) -> "type[Params]":
        return _FOLDERS[name].params_class()

    def __contains__(self, name: object) -> bool:
        return name in _FOLDERS

    def __iter__(self) -> Iterator[str]:
        return iter(_FOLDERS)

    def __len__(self) -> int:
        return len(_FOLDERS)


#: The values of each action.
ACTIONS: "Final[Mapping[str, type[Params]]]" = _Actions()


def build(name: str, parts: "Parts") -> "Action":
    """Return a new action of this name, which is one of ACTIONS, made from the app's parts."""
    return _FOLDERS[name].build(parts)


def questions_of(name: str, step: "LiveStep") -> "Iterator[Question]":
    """Yield what `signalbox check --live` asks a workspace about a step of an action."""
    ask = getattr(_FOLDERS[name], "live_questions", None)
    return iter(()) if ask is None else ask(step)
