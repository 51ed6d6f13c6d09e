"""Writes `contract.json` from the typed models of azure-ai-ml; a test holds the one to the other.

Run `python -m sandbox.contract.source` after a new version of azure-ai-ml. The emulator reads the
file: to import the models takes seconds in every process.
"""

import datetime
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from azure.ai import ml
from azure.ai.ml._restclient.arm_ml_service import models
from azure.ai.ml._restclient.arm_ml_service._utils.model_base import Model, _RestField
from azure.ai.ml._restclient.arm_ml_service.operations import _operations as operations

FILE = Path(__file__).parent / "contract.json"
#: The version of the API whose models these are.
VERSION = "2025-12-01"

#: The operation groups that the emulator serves, by name.
_GROUPS = (
    "Workspaces",
    "CodeContainers",
    "CodeVersions",
    "ComponentContainers",
    "ComponentVersions",
    "DataContainers",
    "DataVersions",
    "EnvironmentContainers",
    "EnvironmentVersions",
    "ModelContainers",
    "ModelVersions",
    "BatchEndpoints",
    "BatchDeployments",
    "OnlineEndpoints",
    "OnlineDeployments",
    "Datastores",
    "Schedules",
    "Compute",
    "Jobs",
    "Usages",
    "VirtualMachineSizes",
)
_SCALARS = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    bytes: "str",
    datetime.timedelta: "duration",
    datetime.datetime: "datetime",
    Any: "any",
}

type Type = str | list[Any]


def read_contract() -> dict[str, Any]:
    """Return the contract: operations, models, enums, and the versions that azure-ai-ml sends."""
    reader = _Reader()
    found = [operation for group in _GROUPS for operation in reader.operations(group)]
    errors = reader.reference(models.ErrorResponse)
    reader.read_all()
    return {
        "source": f"azure-ai-ml {version('azure-ai-ml')}, arm_ml_service",
        "version": VERSION,
        "versions": sorted({VERSION, *_versions_sent()}),
        "error": errors,
        "operations": found,
        "models": dict(sorted(reader.models.items())),
        "enums": dict(sorted(reader.enums.items())),
    }


class _Reader:
    """Collects models as they are met, until all that is reachable has been read."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {}
        self.enums: dict[str, list[str]] = {}
        self._unread: list[type[Model]] = []

    def operations(self, group: str) -> Iterator[list[Any]]:
        """Yield the operations of a group: method, path, and models of the request and answer."""
        made = getattr(operations, f"{group}Operations")
        for name, function in inspect.getmembers(made, inspect.isfunction):
            if name.startswith("_"):
                continue
            request = _request(group, name.removeprefix("begin_"))
            hints = typing.get_type_hints(function, vars(operations))
            body = next((each for each in _members(hints.get("body")) if _is_model(each)), None)
            answer = hints["return"]
            yield [
                request.method,
                request.url,
                self.reference(body) if body else None,
                self._answer(answer),
            ]

    def _answer(self, hint: Any) -> Type | None:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if getattr(origin, "__name__", "") == "ItemPaged":
            return ["page", self._type(arguments[0])]
        if getattr(origin, "__name__", "") == "LROPoller":
            hint = arguments[0]
        return None if hint in (None, type(None)) else self._type(hint)

    def _type(self, hint: Any) -> Type:
        """Return a type as the file writes it."""
        members = [each for each in _members(hint) if each is not type(None)]
        known = [each for each in members if inspect.isclass(each) and issubclass(each, Enum)]
        if known:
            return self._enum(known[0])
        (only,) = members
        origin, arguments = typing.get_origin(only), typing.get_args(only)
        if origin is typing.Literal:
            return ["literal", *(_plain(each) for each in arguments)]
        if origin is list:
            return ["list", self._type(arguments[0])]
        if origin is dict:
            return ["map", self._type(arguments[1])]
        return self.reference(only) if _is_model(only) else _SCALARS[only]

    def reference(self, made: type[Model]) -> list[str]:
        """Return a reference to a model, which is read later on."""
        if made.__name__ not in self.models:
            self.models[made.__name__] = {}
            self._unread.append(made)
        return ["model", made.__name__]

    def _enum(self, made: type[Enum]) -> list[str]:
        self.enums[made.__name__] = [each.value for each in made]
        return ["enum", made.__name__]

    def read_all(self) -> None:
        """Read the models that were met, and those that they lead to."""
        while self._unread:
            made = self._unread.pop()
            self.models[made.__name__] = self._read(made)

    #: Each field has its type and its marks: `r` for required, `o` for read-only, `w` for
    #: write-only.
    def _read(self, made: type[Model]) -> dict[str, Any]:
        hints = typing.get_type_hints(made, vars(models._models) | {"_models": models})
        needed = _needed(made)
        fields, discriminator = {}, None
        for attribute, field in _fields(made).items():
            name = field._rest_name_input or attribute
            hint = hints[attribute]
            is_needed = attribute in needed or type(None) not in _members(hint)
            seen_in = field._visibility or ["read"]
            marks = "r" * is_needed + "o" * (seen_in == ["read"]) + "w" * ("read" not in seen_in)
            fields[name] = [self._type(hint), marks]
            if field._is_discriminator:
                discriminator = name
        written: dict[str, Any] = {"fields": fields}
        if discriminator:
            written["by"] = discriminator
            own: Mapping[str, type[Model]] = vars(made).get("__mapping__", {})
            kinds = {_plain(kind): each for kind, each in own.items()}
            written["kinds"] = {kind: self.reference(each)[1] for kind, each in kinds.items()}
        return written


def _request(group: str, name: str) -> Any:
    """Return the request that an operation makes, with `*` for what its path names."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", group).lower()
    build = getattr(operations, f"build_{words}_{name}_request")
    names = [
        key
        for key, each in inspect.signature(build).parameters.items()
        if each.kind is not each.VAR_KEYWORD and each.default is each.empty
    ]
    request = build(**{key: "__" for key in names})
    request.url = re.sub("__", "*", request.url).partition("?")[0]
    return request


def _fields(made: type[Model]) -> dict[str, _RestField]:
    found: dict[str, _RestField] = {}
    for base in reversed(made.__mro__):
        found |= {name: each for name, each in vars(base).items() if isinstance(each, _RestField)}
    return found


def _needed(made: type[Model]) -> set[str]:
    """Return the attributes that cannot be left out when one is made."""
    overloads = typing.get_overloads(made.__init__)
    if not overloads:
        return set()
    parameters = inspect.signature(overloads[0]).parameters.values()
    keywords = (each for each in parameters if each.kind is each.KEYWORD_ONLY)
    return {each.name for each in keywords if each.default is each.empty}


def _members(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return () if hint is None else (hint,)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _is_model(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, Model)


def _versions_sent() -> set[str]:
    """Return the versions of the API that azure-ai-ml names in its own code."""
    folder = Path(ml.__file__).parent
    texts = (file.read_text(encoding="utf-8") for file in folder.rglob("*.py"))
    found = (re.findall(r'api_version="(\d{4}-\d\d-\d\d[\w-]*)"', text) for text in texts)
    return {each for some in found for each in some}


def write(contract: Mapping[str, Any]) -> str:
    """Return the file's text: a line for each operation, model and enum."""
    parts = []
    for key, value in contract.items():
        if key == "operations":
            lines = ",\n".join(json.dumps(each) for each in value)
            parts.append(f'"{key}": [\n{lines}\n]')
        elif isinstance(value, dict):
            lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f'"{key}": {{\n{lines}\n}}')
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(write(read_contract()), encoding="utf-8")
