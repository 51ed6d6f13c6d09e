"""Values of `deploy` that company policies demand: tags, identity, variables, collected data."""

import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from shared.base.outgoing import for_row
from shared.schema.values import Values, unfit
from shared.workspaces.model import DataCollection

#: Azure's limits of tags (tag-resources), less those that Signalbox sets itself.
_TAGS_MAX = 50 - 5
_TAG_NAME = re.compile(r"[^<>%&\\?/\x00-\x1f]{1,512}")
_TAG_VALUE_MAX = 256
_OURS = "signalbox_"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VARIABLES_MAX = 100
_VARIABLE_MAX = 4096
#: The addresses of secrets. AML puts the secret in their place where they stand between `${{` and
#: `}}` (how-to-deploy-online-endpoint-with-secret-injection). The file has them without, because
#: these begin and end an expression here.
_REFERENCE = re.compile(
    r"azureml://connections/[\w.-]+(?:/(?:credentials|metadata)/[\w.-]+|/target)?"
    r"|keyvault:https://[a-z0-9-]+\.[a-z0-9.-]+/secrets/[\w-]+(?:/[\w-]+)?"
)
_SECRET_HINT = (
    "Change the secret, because others have seen it. Keep it in a connection of the workspace or in"
    " a key vault, and write `azureml://connections/NAME/credentials/KEY` or"
    " `keyvault:https://VAULT.vault.azure.net/secrets/NAME/VERSION`. If it is none, choose a name"
    " that does not end like a secret's."
)

_IDENTITY = re.compile(
    r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[A-Za-z0-9][\w-]{2,127}",
    re.IGNORECASE,
)
_COLLECTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


def needed(hint: str = "") -> PydanticCustomError:
    """Return the error of a missing value."""
    return PydanticCustomError("missing", "missing", {"hint": hint})


def _refuse_secret(name: str, value: str) -> None:
    """Refuse what the tables of rollouts would not keep, because it looks like a secret."""
    text = json.dumps({name: value}, ensure_ascii=False)
    if for_row(text) != text:
        raise unfit(f"has a secret in {name}, and the file is no place for one", _SECRET_HINT)


def _check_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > _TAGS_MAX:
        raise ValueError(f"there are {len(tags)}, and Azure takes {_TAGS_MAX} beside our own")
    for name, value in tags.items():
        if _TAG_NAME.fullmatch(name) is None:
            raise ValueError(r"a tag's name has 1 to 512 characters, and none of < > % & \ ? /")
        if name.lower().startswith(_OURS):
            raise ValueError(f"tags that begin with {_OURS} are Signalbox's own")
        if len(value) > _TAG_VALUE_MAX:
            raise ValueError(f"{name} has {len(value):,} characters, and Azure takes 256")
        _refuse_secret(name, value)
    return tags


def _check_variables(variables: dict[str, str]) -> dict[str, str]:
    """Return the variables as AML takes them, with secrets by reference."""
    if len(variables) > _VARIABLES_MAX:
        raise ValueError(f"there are {len(variables)}; {_VARIABLES_MAX} at the most")
    found = {}
    for name, value in variables.items():
        if _VARIABLE.fullmatch(name) is None:
            raise ValueError("a variable's name has letters, digits and _: LOG_LEVEL")
        found[name] = _settle_variable(name, value)
    return found


def _settle_variable(name: str, value: str) -> str:
    reference = value.removeprefix("${{").removesuffix("}}")
    if _REFERENCE.fullmatch(reference) and value in (reference, f"${{{{{reference}}}}}"):
        return f"${{{{{reference}}}}}"
    if "${{" in value:
        raise ValueError(f"{name} has an expression of AML's in it that is no secret's address")
    if len(value) > _VARIABLE_MAX:
        raise ValueError(f"{name} has {len(value):,} characters; {_VARIABLE_MAX:,} at the most")
    _refuse_secret(name, value)
    return value


def _check_identities(ids: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    kind = info.data.get("type")
    if kind == "system_assigned" and ids:
        raise unfit("are for `type: user_assigned`", "Leave them out, or write that type.")
    if kind == "user_assigned" and not ids:
        raise needed("List the ARM ids of the identities, or leave out `type: user_assigned`.")
    for name in ids:
        if _IDENTITY.fullmatch(name) is None:
            raise ValueError(
                "give ARM ids: /subscriptions/…/resourceGroups/…/providers"
                "/Microsoft.ManagedIdentity/userAssignedIdentities/NAME"
            )
    return ids


def _check_collections(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise unfit("should name one collection at least", "Write [model_inputs, model_outputs].")
    for name in names:
        if _COLLECTION.fullmatch(name) is None:
            raise ValueError("a collection's name has letters, digits, _ and -: model_inputs")
    return tuple(dict.fromkeys(names))


AzureTags = Annotated[dict[str, str], AfterValidator(_check_tags)]
Variables = Annotated[dict[str, str], AfterValidator(_check_variables)]


class IdentityParams(Values):
    """The identity that a new endpoint has."""

    type: Literal["system_assigned", "user_assigned"] = "system_assigned"
    ids: Annotated[tuple[str, ...], AfterValidator(_check_identities)] = Field(
        default=(), validate_default=True
    )


class DataCollectorParams(Values):
    """The requests and answers that AML keeps for model monitors."""

    collections: Annotated[tuple[str, ...], AfterValidator(_check_collections)]
    sampling_rate: float = Field(default=1, gt=0, le=1)
    rolling_rate: Literal["minute", "hour", "day"] = "hour"

    @property
    def collection(self) -> DataCollection:
        """The same for the workspace."""
        return DataCollection(**self.model_dump())
