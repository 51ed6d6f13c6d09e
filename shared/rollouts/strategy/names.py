"""Names of strategies inside other values."""

from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.rollouts.strategy.ready_made import READY_MADE
from shared.schema.values import LoadContext


def _known(context: LoadContext) -> tuple[str, ...]:
    """Return the names of the file's strategies and of those that are ready-made."""
    return (*context.strategies, *READY_MADE)


def _check_strategy(name: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        info.context.named_strategies.add(name)
        known = _known(info.context)
        if name not in known:
            raise PydanticCustomError("strategy_undeclared", "no such strategy", {"known": known})
    return name


def _check_strategies(glob: str, info: ValidationInfo) -> str:
    if isinstance(info.context, LoadContext):
        known = _known(info.context)
        fitting = [name for name in known if fnmatchcase(name, glob.lower())]
        info.context.named_strategies.update(fitting)
        if not fitting:
            raise PydanticCustomError("strategy_undeclared", "no such strategy", {"known": known})
    return glob


#: The name of a rollout's strategy: the file declares it under `rollouts:`, or it is ready-made.
RolloutName = Annotated[str, AfterValidator(_check_strategy)]
#: A glob that matches the name of a strategy.
RolloutGlob = Annotated[str, AfterValidator(_check_strategies)]
