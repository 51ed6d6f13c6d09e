"""Assets that are kept as they were sent, and how each looks in a response."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sandbox.workspace.arm import PROVIDER, Json, system_data


class Version(Protocol):
    """A version of any asset, models included."""

    @property
    def created_at(self) -> datetime:
        """When it was registered."""

    @property
    def order(self) -> int:
        """Its place among versions that were registered in the same instant."""


def next_number(numbers: Iterable[str]) -> str:
    """Return the number that a version without a name of its own would get."""
    return str(max((int(n) for n in numbers if n.isdecimal()), default=0) + 1)


def newest_number(versions: Mapping[str, Version]) -> str | None:
    """Return the number of the version registered last."""
    place = {number: (v.created_at, v.order) for number, v in versions.items()}
    return max(place, key=place.__getitem__, default=None)


@dataclass(slots=True, kw_only=True)
class AssetVersion:
    """One version of an asset; `content` is what makes it one, such as a component's spec."""

    name: str
    version: str
    content: Json
    created_at: datetime
    modified_at: datetime
    created_by: str
    #: Keeps versions apart that were registered in the same instant.
    order: int
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    is_archived: bool = False
    is_anonymous: bool = False
    #: Of an environment: whether its image was built.
    is_built: bool = False

    def document(self, container_id: str, segment: str) -> Json:
        """Return the version as a resource; `segment` is its kind's place in addresses."""
        return {
            "id": f"{container_id}/versions/{self.version}",
            "name": self.version,
            "type": f"{PROVIDER}/workspaces/{segment}/versions",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "description": self.description,
                "tags": dict(self.tags),
                "properties": dict(self.properties),
                "isArchived": self.is_archived,
                "isAnonymous": self.is_anonymous,
            }
            | _state(segment)
            | self.content,
        }


@dataclass(slots=True, kw_only=True)
class AssetContainer:
    """The name that versions of an asset share."""

    name: str
    created_at: datetime
    modified_at: datetime
    created_by: str
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    is_archived: bool = False
    #: The properties of data that its versions share.
    data_type: str | None = None
    versions: dict[str, AssetVersion] = field(default_factory=dict)

    @property
    def next_version(self) -> str:
        """The number that a version without a name of its own would get."""
        return next_number(self.versions)

    @property
    def latest_version(self) -> str | None:
        """The version registered last."""
        return newest_number(self.versions)

    def document(self, container_id: str, segment: str) -> Json:
        """Return the container as a resource; `segment` is its kind's place in addresses."""
        return {
            "id": container_id,
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/{segment}",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": {
                "description": self.description,
                "tags": dict(self.tags),
                "properties": dict(self.properties),
                "isArchived": self.is_archived,
                "latestVersion": self.latest_version,
                "nextVersion": self.next_version,
            }
            | _state(segment)
            | ({"dataType": self.data_type} if self.data_type else {}),
        }


def _state(segment: str) -> Json:
    """Return how far the service is with an asset; of data the contract says nothing."""
    return {} if segment == "data" else {"provisioningState": "Succeeded"}
