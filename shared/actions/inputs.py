"""The inputs of a run, for the actions that start one: what an event may put into them."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from shared.retraining.targets import Input
from shared.schema.values import Values

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9-]{0,62}\.)+[a-z]{2,63}", re.IGNORECASE)


def _drop_null_inputs(inputs: object) -> object:
    """Leave out inputs that an expression made null: the target has its own defaults."""
    if not isinstance(inputs, Mapping):
        return inputs
    return {name: value for name, value in inputs.items() if value is not None}


Inputs = Annotated[dict[str, Input], BeforeValidator(_drop_null_inputs)]
#: Characters with a meaning to a shell or to a workflow's template, and a word that a command would
#: read as an option, unless it is a number.
_UNPLAIN = re.compile(r"[^\w .,:/@%+=-]|(?:(?<= )|\A)-+(?![\d. -]|\Z)\w?")


def _check_host(pattern: str) -> str:
    if _HOST.fullmatch(pattern) is None:
        raise ValueError("name a host, or all below a domain: `*.blob.core.windows.net`")
    return pattern


class AllowInputs(Values):
    """The inputs that may hold more than plain texts and assets of the workspace."""

    #: Hosts that an address among the inputs may name.
    hosts: tuple[Annotated[str, AfterValidator(_check_host)], ...] = ()
    #: Inputs whose text may have any character.
    free_text: tuple[str, ...] = ()


def check_inputs_plain(inputs: Mapping[str, Input], allow: AllowInputs) -> None:
    """Refuse texts that a command or a workflow could take for more than a text.

    Raises: ValueError.
    """
    for name, value in inputs.items():
        if not isinstance(value, str) or name in allow.free_text:
            continue
        if odd := _UNPLAIN.search(value):
            raise ValueError(
                f"input `{name}` has {odd[0]!a}, which may be taken for a command or an option;"
                f" if the job quotes it, list `{name}` under `allow.free_text`"
            )
