"""The composition root: everything that the handlers call, built once, on first use."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.base import telemetry
from shared.base.clock import Clock, SystemClock
from shared.base.errors import ParamsInvalid, ReactionsInvalid, SettingInvalid
from shared.base.lazy import Lazy, once
from shared.base.settings import APP_ROOT, Settings, read_settings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from shared.actions.base import Action
    from shared.adapters.aml.connection import Aml
    from shared.adapters.storage.account import StorageAccount
    from shared.adapters.targets.factory import Targets
    from shared.base.ports import Blobs, Channels, Queues, Tables, Topics
    from shared.events.model import Event
    from shared.flow.accounts import Accounts
    from shared.flow.chains import Chains
    from shared.flow.react import React
    from shared.flow.schedules import Schedules
    from shared.flow.searches import Searches
    from shared.flow.sweep import Sweep
    from shared.flow.unreported import Unreported
    from shared.journal.announcements import AnnouncementPublisher, Announcer
    from shared.journal.dead_letters import DeadLetters
    from shared.journal.letter_notices import LetterNotices
    from shared.journal.records import Records
    from shared.journal.starts import Starts
    from shared.launches.launches import Launches
    from shared.messages.outbox import Outbox
    from shared.messages.repeats import Folds
    from shared.orphans.watch import OrphanWatch
    from shared.reactions.model import Reactions
    from shared.retraining.approvals import Approvals
    from shared.retraining.keeper import LoopKeeper
    from shared.retraining.loops import Loops
    from shared.retraining.targets import Target
    from shared.rollouts.engine.advance import Rollouts
    from shared.rollouts.engine.store import RolloutStore
    from shared.rollouts.engine.tick import Tick
    from shared.rollouts.strategy.model import Strategy
    from shared.workspaces.lineage import Retrainings
    from shared.workspaces.metrics import Metrics
    from shared.workspaces.ports import Workspaces

#: Libraries that log every request at the level at which we log what happened.
_TALKATIVE = ("azure", "httpx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of the app. None stands for the real one, made from the settings.

    Tests, benchmarks and dry runs give their own.
    """

    clock: Clock | None = None
    tables: "Tables | None" = None
    queues: "Queues | None" = None
    blobs: "Blobs | None" = None
    channels: "Channels | None" = None
    topics: "Topics | None" = None
    workspaces: "Workspaces | None" = None
    metrics: "Metrics | None" = None
    target: "Callable[[str], Target[Any]] | None" = None


class Services:
    """The app's parts.

    Each method imports what it builds: the worker indexes the app without any part, and an event
    that needs only a table does not pay for rollouts, or for the clients of queues and workspaces.

    >>> from shared.twins.clock import ManualClock
    >>> from shared.twins.storage import MemoryChannels, MemoryTables
    >>> channels = MemoryChannels()
    >>> ports = Ports(clock=ManualClock(), tables=MemoryTables(), channels=channels)
    >>> services = Services({}, ports, reactions=reactions)
    >>> services.react.react(envelope)  # of a new model, for which a reaction has `notify:`
    >>> [sent.title for sent in channels.sent]
    ['sklearn_regression_model is new']
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        ports: Ports | None = None,
        *,
        reactions: "Reactions | None" = None,
    ) -> None:
        """Take the app settings; `ports` and `reactions` replace those that these lead to."""
        self._environ = environ
        self._actions: dict[str, Lazy[Action]] = {}
        given: dict[str, Any] = {"reactions": reactions}
        if ports is not None:
            given |= {port.name: getattr(ports, port.name) for port in fields(ports)}
        # `once` builds no part that is there.
        vars(self).update({name: part for name, part in given.items() if part is not None})

    @once
    def settings(self) -> Settings:
        """The app settings; SettingInvalid if one is not what it should be."""
        return read_settings(self._environ)

    @once
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @once
    def reactions(self) -> "Reactions":
        """The reactions; ReactionsInvalid with every error if there are any."""
        from shared.actions import ACTIONS
        from shared.base.rules_files import read_rules
        from shared.reactions.load import load_reactions

        path = self.settings.reactions
        try:
            text = read_rules(path, path.name)
        except (OSError, UnicodeDecodeError) as error:
            raise ReactionsInvalid(
                f"{path} can't be read",
                hint="Set SIGNALBOX_REACTIONS to a file or folder of the app.",
            ) from error
        return load_reactions(text, source=path.name, actions=ACTIONS, settings=self._environ)

    @once
    def retrainings(self) -> "Retrainings | None":
        """The listener to models that retrainings made; None where no reaction retrains."""
        steps = (step for reaction in self.reactions.reactions for step in reaction.do)
        return self.loops if any(step.action == "retrain" for step in steps) else None

    @once
    def _account(self) -> "StorageAccount":
        from shared.adapters.storage.account import StorageAccount

        return StorageAccount(self._environ, self._credential)

    @once
    def tables(self) -> "Tables":
        """Tables of the app's storage account."""
        from shared.adapters.storage.tables import AzureTables

        return AzureTables(self._account.table_client)

    @once
    def queues(self) -> "Queues":
        """Queues of the app's storage account."""
        from shared.adapters.storage.queues import AzureQueues

        return AzureQueues(self._account.queue_client)

    @once
    def blobs(self) -> "Blobs":
        """Blobs of the app's storage account."""
        from shared.adapters.storage.blobs import AzureBlobs

        return AzureBlobs(self._account.blob_client)

    @once
    def _aml(self) -> "Aml":
        from shared.adapters.aml.connection import Aml

        arm, audience = self.settings.arm_endpoint, self.settings.aml_audience
        return Aml(self._credential, arm_endpoint=arm, audience=audience)

    @once
    def workspaces(self) -> "Workspaces":
        """The AML workspaces, as the app's identity."""
        from shared.adapters.aml.workspaces import ArmWorkspaces

        return ArmWorkspaces(self._aml)

    @once
    def metrics(self) -> "Metrics":
        """The metrics of online endpoints."""
        from shared.adapters.aml.azure_monitor import AzureMonitorMetrics

        return AzureMonitorMetrics(self._aml.arm, grain=self.settings.metrics_grain)

    @once
    def channels(self) -> "Channels":
        """The channels whose URLs are in app settings."""
        from shared.adapters.channels import AppriseChannels

        return AppriseChannels(self._environ)

    @once
    def topics(self) -> "Topics":
        """The topics whose endpoints are in app settings."""
        from shared.adapters.topics import EventGridTopics

        return EventGridTopics(self._environ, self._credential)

    @once
    def outbox(self) -> "Outbox":
        """Sends the messages that rows keep."""
        from shared.messages.outbox import Outbox

        return Outbox(
            channels=self.channels, admits=lambda channel, text: self.folds.admits(channel, text)
        )

    @once
    def folds(self) -> "Folds":
        """The folds of repeated messages."""
        from shared.messages.outbox import Outbox
        from shared.messages.repeats import Folds

        return Folds(
            tables=self.tables,
            outbox=Outbox(channels=self.channels),
            clock=self.clock,
            per_hour=self._per_hour,
        )

    def _per_hour(self) -> int:
        """Return the ceiling of a channel; the default, where the file is broken."""
        from shared.messages.notice import PER_HOUR

        try:
            return self.reactions.messages_per_hour
        except ReactionsInvalid:
            return PER_HOUR

    @once
    def announcer(self) -> "Announcer | None":
        """Announces outcomes to other systems; None where no setting names a topic for them."""
        if not self.settings.outcomes_topic:
            return None
        from shared.journal.announcements import Announcer

        return Announcer(queues=self.queues, clock=self.clock)

    @once
    def announcement_publisher(self) -> "AnnouncementPublisher":
        """Publishes announcements.

        Raises: SettingInvalid where no setting names a topic.
        """
        from shared.journal.announcements import AnnouncementPublisher

        if self.announcer is None:
            raise SettingInvalid("SIGNALBOX_OUTCOMES_TOPIC is not set")
        settings = self.settings
        return AnnouncementPublisher(
            announcer=self.announcer,
            topics=self.topics,
            topic=settings.outcomes_topic,
            retention=settings.retention,
            retry_base=settings.retry_base,
        )

    @once
    def records(self) -> "Records":
        """The record of what came of events."""
        from shared.journal.records import Records

        return Records(
            tables=self.tables, blobs=self.blobs, clock=self.clock, announcer=self.announcer
        )

    @once
    def starts(self) -> "Starts":
        """The starts of reactions that have limits."""
        from shared.journal.starts import Starts

        return Starts(tables=self.tables, clock=self.clock)

    @once
    def dead_letters(self) -> "DeadLetters":
        """The letters."""
        from shared.journal.dead_letters import DeadLetters

        return DeadLetters(
            tables=self.tables,
            queues=self.queues,
            blobs=self.blobs,
            clock=self.clock,
            retry_base=self.settings.retry_base,
            channels_of=self._channels_of,
            announcer=self.announcer,
        )

    def _channels_of(self, reaction: str) -> tuple[str, ...]:
        """Return whom a reaction tells; nobody, where the file is broken."""
        try:
            return self.reactions.channels_of(reaction)
        except ReactionsInvalid:
            return ()

    @once
    def letter_notices(self) -> "LetterNotices":
        """Tells people of parked letters."""
        from shared.journal.letter_notices import LetterNotices

        return LetterNotices(dead_letters=self.dead_letters, outbox=self.outbox)

    @once
    def rollouts(self) -> "Rollouts":
        """The rollouts."""
        from shared.rollouts.engine.advance import Rollouts

        settings = self.settings
        return Rollouts(
            store=self._rollout_store,
            queues=self.queues,
            tick=lambda: self._tick,
            outbox=self.outbox,
            records=self.records,
            clock=self.clock,
            lease=settings.lease,
            retry_base=settings.retry_base,
            studio=settings.studio_endpoint,
            follow=self.loops.rollout_changed,
            announcer=self.announcer,
        )

    @once
    def _rollout_store(self) -> "RolloutStore":
        from shared.rollouts.engine.store import RolloutStore

        return RolloutStore(tables=self.tables)

    @once
    def _tick(self) -> "Tick":
        from shared.rollouts.engine.tick import Tick
        from shared.rollouts.gates.reader import GateReader

        return Tick(
            store=self._rollout_store,
            workspaces=self.workspaces,
            gates=GateReader(metrics=self.metrics),
            overrule=lambda holder, newer: self.rollouts.overrule(holder, newer),
            clock=self.clock,
            budget=self.settings.budget,
            retry_base=self.settings.retry_base,
            read_file=self.read_file,
        )

    @once
    def loops(self) -> "Loops":
        """The loops from drift to retraining and back."""
        from shared.retraining.loops import Loops

        return Loops(
            keeper=self.loop_keeper,
            clock=self.clock,
            studio=self.settings.studio_endpoint,
            target=self.target,
        )

    @once
    def loop_keeper(self) -> "LoopKeeper":
        """The writes of loops."""
        from shared.retraining.keeper import LoopKeeper
        from shared.retraining.store import LoopStore

        return LoopKeeper(
            store=LoopStore(tables=self.tables),
            records=self.records,
            outbox=self.outbox,
            clock=self.clock,
            announcer=self.announcer,
        )

    @once
    def launches(self) -> "Launches":
        """The runs that `start` has started."""
        from shared.launches.launches import Launches
        from shared.launches.store import LaunchStore

        return Launches(
            store=LaunchStore(tables=self.tables),
            places=self.loop_keeper.store,
            records=self.records,
            outbox=self.outbox,
            clock=self.clock,
            target=self.target,
        )

    @once
    def orphans(self) -> "OrphanWatch":
        """The watch over deployments that serve nobody."""
        from shared.orphans.schema import Orphans
        from shared.orphans.watch import OrphanWatch

        return OrphanWatch(
            tables=self.tables,
            workspaces=self.workspaces,
            rollouts=self._rollout_store,
            outbox=self.outbox,
            clock=self.clock,
            watched=self.reactions.workspaces,
            rules=self.reactions.orphans or Orphans(),
        )

    @once
    def approvals(self) -> "Approvals":
        """Carries out people's orders to loops."""
        from shared.retraining.approvals import Approvals

        return Approvals(keeper=self.loop_keeper, dead_letters=self.dead_letters, clock=self.clock)

    @once
    def _targets(self) -> "Targets":
        from shared.adapters.targets.factory import Targets

        return Targets(
            aml=lambda: self._aml,
            credential=self._credential,
            environ=self._environ,
            settings=self.settings,
            root=APP_ROOT,
        )

    def target(self, name: str) -> "Target[Any]":
        """Return the target of this name, which is a key of TargetParams."""
        return self._targets.get(name)

    def action(self, name: str) -> "Action":
        """Return the action of this name, which is one of ACTIONS."""
        from shared.actions import build

        return self._actions.setdefault(name, Lazy(lambda: build(name, self)))()

    def find_strategy(self, name: str) -> "Strategy | None":
        """Return the strategy of this name, of the file or ready-made; None where there is none."""
        from shared.rollouts.strategy.schema import find_strategy

        return find_strategy(name, own=self.reactions.rollouts)

    def has_topic(self, name: str) -> bool:
        """Return whether the file declares a topic of this name."""
        return name in self.reactions.topics

    @staticmethod
    def read_file(path: str) -> bytes:
        """Return a file of the app, by its path below the app's folder.

        Raises: ParamsInvalid where there is none; the path's form was validated with the reaction.
        """
        try:
            return (APP_ROOT / path).read_bytes()
        except OSError as error:
            raise ParamsInvalid(
                f"golden file {path} can't be read", hint="Add the file to the app and deploy it."
            ) from error

    def _follow(self, event: "Event") -> None:
        """Have what started an event's run follow it: a loop, or a launch. Few events have one."""
        from shared.workspaces.lineage import find_reference

        if reference := find_reference(event):
            from shared.base.ids import is_of_launch

            follower = self.launches if is_of_launch(reference) else self.loops
            follower.follow(event)

    @once
    def react(self) -> "React":
        """Runs the reactions of events."""
        from shared.flow.admission import Admission
        from shared.flow.late_tags import TAGGED_WITHIN, LateTags
        from shared.flow.react import React
        from shared.flow.steps import Steps
        from shared.journal.ledger import Ledger

        ledger = Ledger(tables=self.tables, clock=self.clock, lease=self.settings.lease)
        return React(
            reactions=self.reactions,
            steps=Steps(
                action=self.action,
                ledger=ledger,
                clock=self.clock,
                admission=Admission(
                    clock=self.clock, starts=lambda: self.starts, chains=self._chains
                ),
            ),
            records=self.records,
            dead_letters=self.dead_letters,
            clock=self.clock,
            budget=self.settings.budget,
            late_tags=LateTags(
                workspaces=lambda: self.workspaces,
                clock=self.clock,
                within=TAGGED_WITHIN * self.settings.retry_base,
            ),
            follow=self._follow,
        )

    def accounts(self, *, reactions: "Reactions | None", asks_workspaces: bool) -> "Accounts":
        """Gives accounts of events by these rules, or by none.

        It may ask the workspaces for the tags as they are now.
        """
        from shared.flow.accounts import Accounts

        return Accounts(
            records=self.records,
            reactions=reactions,
            dead_letters=self.dead_letters,
            rollouts=self.rollouts.store,
            loops=self.loops.store,
            clock=self.clock,
            workspaces=(lambda: self.workspaces) if asks_workspaces else None,
        )

    @once
    def searches(self) -> "Searches":
        """Looks for events on record."""
        from shared.flow.searches import Searches

        return Searches(
            records=self.records,
            reactions=self.reactions,
            rollouts=self.rollouts.store,
            dead_letters=self.dead_letters,
            queues=self.queues,
            blobs=self.blobs,
            since=self.clock.now() - self.settings.retention,
        )

    @once
    def _chains(self) -> "Chains":
        from shared.flow.chains import Chains

        return Chains(
            most=self.reactions.chain_limit,
            channels_of=self.reactions.channels_of,
            workspaces=lambda: self.workspaces,
            folds=lambda: self.folds,
            outbox=lambda: self.outbox,
        )

    @once
    def schedules(self) -> "Schedules":
        """The planned times of reactions."""
        from shared.flow.schedules import Schedules

        return Schedules(
            tables=self.tables,
            reactions=self.reactions,
            react=self.react,
            records=self.records,
            clock=self.clock,
        )

    @once
    def unreported(self) -> "Unreported":
        """The models that Event Grid never reported."""
        from shared.flow.unreported import Unreported

        return Unreported(
            tables=self.tables,
            reactions=self.reactions,
            react=self.react,
            records=self.records,
            workspaces=lambda: self.workspaces,
            clock=self.clock,
            retention=self.settings.retention,
        )

    @once
    def sweep(self) -> "Sweep":
        """The work of the timer."""
        from shared.flow.sweep import Sweep

        return Sweep(
            tables=self.tables,
            queues=self.queues,
            blobs=self.blobs,
            records=self.records,
            dead_letters=self.dead_letters,
            rollouts=self.rollouts,
            folds=self.folds,
            starts=self.starts,
            letter_notices=self.letter_notices,
            loops=self.loops,
            launches=self.launches,
            schedules=self.schedules,
            unreported=self.unreported,
            approvals=self.approvals,
            react=self.react,
            clock=self.clock,
            retention=self.settings.retention,
            orphans=self.orphans if self.reactions.orphans else None,
            announcer=self.announcer,
        )

    def _credential(self) -> "TokenCredential":
        return self._identity

    @once
    def _identity(self) -> "TokenCredential":
        """The app's managed identity where there is one, or the developer's own on a laptop."""
        from shared.adapters.identity import make_credential

        return make_credential(self._environ)


@cache
def services() -> Services:
    """Return the app's services, built from the process's environment."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    telemetry.guard_logs()
    return Services(os.environ)
