"""The composition root: everything that the handlers call, built once, on first use."""

import logging
import os
from collections.abc import Callable, Mapping
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, overload

from shared.actions import ACTIONS
from shared.actions.base import Action
from shared.clock import Clock, SystemClock
from shared.dead_letters import DeadLetters
from shared.errors import ParamsInvalid, ReactionsInvalid
from shared.ledger import Ledger
from shared.ports import Blobs, Channels, Queues, Tables
from shared.react import React
from shared.reactions.load import load_reactions
from shared.reactions.model import Reactions
from shared.records import Records
from shared.settings import APP_ROOT, Settings, read_settings
from shared.steps import Steps

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.adapters.storage import StorageAccount
    from shared.rollouts.advance import Rollouts
    from shared.sweep import Sweep
    from shared.workspaces import Workspaces

#: Libraries that log every request at the level at which we log what happened.
_TALKATIVE = ("azure", "httpx")


class once[T]:
    """A part that is built when it is first asked for, and by one thread only.

    `functools.cached_property` lets two threads build two, and the worker has several.
    """

    def __init__(self, build: Callable[[Any], T]) -> None:
        self._build = build

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "once[T]": ...
    @overload
    def __get__(self, instance: "Services", owner: type) -> T: ...
    def __get__(self, instance: "Services | None", owner: type) -> "T | once[T]":
        if instance is None:
            return self
        with instance.lock:
            if self._name not in instance.__dict__:
                instance.__dict__[self._name] = self._build(instance)
        built: T = instance.__dict__[self._name]
        return built


class Services:
    """The app's parts.

    Adapters, and what only some triggers need, are imported where they are built: an event that
    needs only a table does not pay for rollouts, or for the clients of queues and workspaces.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.lock = RLock()

    @once
    def settings(self) -> Settings:
        """The app settings; SettingInvalid if one is not what it should be."""
        return read_settings(self._environ)

    @once
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @once
    def reactions(self) -> Reactions:
        """The reactions; ReactionsInvalid with every error if there are any."""
        path = self.settings.reactions
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ReactionsInvalid(
                f"{path} can't be read", hint="Set SIGNALBOX_REACTIONS to a file of the app."
            ) from error
        return load_reactions(text, source=path.name, actions=ACTIONS, settings=self._environ)

    @once
    def _account(self) -> "StorageAccount":
        from shared.adapters.storage import StorageAccount

        return StorageAccount(self._environ, self._credential)

    @once
    def tables(self) -> Tables:
        """Tables of the app's storage account."""
        from shared.adapters.tables import AzureTables

        return AzureTables(self._account.table_client)

    @once
    def queues(self) -> Queues:
        """Queues of the app's storage account."""
        from shared.adapters.queues import AzureQueues

        return AzureQueues(self._account.queue_client)

    @once
    def blobs(self) -> Blobs:
        """Blobs of the app's storage account."""
        from shared.adapters.blobs import AzureBlobs

        return AzureBlobs(self._account.blob_client)

    @once
    def workspaces(self) -> "Workspaces":
        """The AML workspaces, as the app's identity."""
        from shared.adapters.workspaces import ArmWorkspaces

        return ArmWorkspaces(self._credential, arm_endpoint=self.settings.arm_endpoint)

    @once
    def channels(self) -> Channels:
        """The channels whose URLs are in app settings."""
        from shared.adapters.channels import AppriseChannels

        return AppriseChannels(self._environ)

    @once
    def records(self) -> Records:
        """The record of what came of events."""
        return Records(tables=self.tables)

    @once
    def dead_letters(self) -> DeadLetters:
        """The letters."""
        return DeadLetters(
            tables=self.tables,
            queues=self.queues,
            blobs=self.blobs,
            clock=self.clock,
            retry_base=self.settings.retry_base,
        )

    @once
    def rollouts(self) -> "Rollouts":
        """The rollouts."""
        from shared.rollouts.advance import Rollouts
        from shared.rollouts.store import RolloutStore
        from shared.rollouts.tell import Tell

        settings = self.settings
        return Rollouts(
            store=RolloutStore(tables=self.tables),
            queues=self.queues,
            workspaces=self.workspaces,
            tell=Tell(
                channels=self.channels,
                clock=self.clock,
                retry_base=settings.retry_base,
                studio=settings.studio_endpoint,
            ),
            records=self.records,
            clock=self.clock,
            lease=settings.lease,
            budget=settings.budget,
            retry_base=settings.retry_base,
            read_request=read_request,
        )

    @once
    def _deploy(self) -> Action:
        from shared.actions.deploy import Deploy

        return Deploy(workspaces=self.workspaces, rollouts=self.rollouts, clock=self.clock)

    @once
    def _notify(self) -> Action:
        from shared.actions.notify import Notify

        return Notify(channels=self.channels)

    def action(self, name: str) -> Action:
        """Return the action of this name, which is one of ACTIONS."""
        built: Action = getattr(self, f"_{name}")
        return built

    @once
    def react(self) -> React:
        """What events are given to."""
        ledger = Ledger(tables=self.tables, clock=self.clock, lease=self.settings.lease)
        return React(
            reactions=self.reactions,
            steps=Steps(action=self.action, ledger=ledger, clock=self.clock),
            records=self.records,
            dead_letters=self.dead_letters,
            clock=self.clock,
            budget=self.settings.budget,
        )

    @once
    def sweep(self) -> "Sweep":
        """What the timer runs."""
        from shared.sweep import Sweep

        return Sweep(
            tables=self.tables,
            queues=self.queues,
            blobs=self.blobs,
            dead_letters=self.dead_letters,
            rollouts=self.rollouts,
            react=self.react,
            clock=self.clock,
            retention=self.settings.retention,
        )

    def _credential(self) -> "TokenCredential":
        return self._identity

    @once
    def _identity(self) -> "TokenCredential":
        """The app's managed identity where there is one, or the developer's own on a laptop."""
        if "IDENTITY_ENDPOINT" in self._environ:
            from azure.identity import ManagedIdentityCredential

            return ManagedIdentityCredential(client_id=self._environ.get("AZURE_CLIENT_ID"))
        from azure.identity import DefaultAzureCredential

        return DefaultAzureCredential()


def read_request(path: str) -> bytes:
    """Return a golden request of the app, by its path below the app's folder.

    Raises: ParamsInvalid where there is none; the path's form was validated with the reaction.
    """
    try:
        return (APP_ROOT / path).read_bytes()
    except OSError as error:
        raise ParamsInvalid(
            f"golden request {path} can't be read", hint="Add the file to the app and deploy it."
        ) from error


@cache
def services() -> Services:
    """Return the app's services, built from the process's environment."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    return Services(os.environ)
