"""Load a reactions file: all its mistakes are found at once, each with its place and a hint."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.messages.schema import Messages
from shared.orphans.schema import Orphans
from shared.reactions.channels import (
    channels_of_defaults,
    read_channels,
    refuse_unknown_channels,
    texts_in,
    warn_of_channels,
    warn_of_silence,
)
from shared.reactions.model import CHAIN_LIMIT, Params, Reaction, Reactions
from shared.reactions.reaction import ReactionReader
from shared.reactions.templates import OPEN
from shared.reactions.topics import read_topics, warn_of_outcomes_topic, warn_of_topics
from shared.reactions.workspaces import list_hint, read_workspaces
from shared.reactions.written_secrets import refuse_secrets
from shared.schema.document import Document, Fault, Path, read_document
from shared.schema.faults import misplaced, read_values
from shared.schema.findings import Finding, ReactionsFaulty, Severity
from shared.schema.report import FINDINGS_MAX, Report, TooManyFindings, finding_at
from shared.schema.values import LoadContext, Values
from shared.schema.wording import (
    ADDRESS_IN_FILE,
    TOPIC_ADDRESS_HINT,
    TOPIC_ADDRESS_IN_FILE,
    address_hint,
    cut,
    found,
    is_address,
    kind_of_value,
    nearest,
)

if TYPE_CHECKING:
    from shared.rollouts.strategy.model import Strategy

VERSION = 1

#: The keys of a rules file.
FILE_KEYS = {
    *("version", "workspaces", "channels", "topics", "rollouts", "orphans", "chain_limit"),
    "find_models",
    *("vars", "defaults", "messages", "freezes", "freeze"),
    "reactions",
}
#: A chain that is longer than this is one without an end.
CHAIN_MOST = 20

#: Takes the reactions, the report, and the place of each workspace by its key.
type LookFurther = Callable[[Reactions, Report, Mapping[str, Path]], None]


def load_reactions(
    text: str | Mapping[str, str],
    *,
    source: str = "reactions.yaml",
    actions: Mapping[str, type[Params]],
    settings: Mapping[str, str],
    strict_settings: bool = True,
    has_file: Callable[[str], bool] = lambda _: True,
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: (),
    find_channel_fault: Callable[[str], tuple[str, str] | None] = lambda _: None,
    find_topic_fault: Callable[[str], tuple[str, str] | None] = lambda _: None,
    find_target_fault: Callable[[str, Any], tuple[str, str] | None] = lambda *_: None,
    files_in: Callable[[str], Collection[str]] = lambda _: (),
    look_further: LookFurther = lambda *_: None,
) -> Reactions:
    """Load the text of a reactions file; `source` is its name in messages.

    The texts of several files, by name, make one together: `reactions.merging` says how.

    `settings` are the values for `%NAME%`. Without `strict_settings` a missing one is a warning and
    its workspace is left out, so that a file can be checked without the app's settings. `has_file`
    says whether the app has a file that a value names. `find_job_faults` returns the faults in the
    file of a job. `find_channel_fault` returns the fault in the app setting of a channel, and a
    hint; it becomes a warning. `find_topic_fault` does the same for a topic, and
    `find_target_fault` for the target of a retraining. `files_in` lists the app's files below a
    folder, to name the one that was meant. `look_further` may add findings to the
    report of a file that has no errors so far.

    >>> from uuid import UUID
    >>> from shared.actions import ACTIONS
    >>> file = '''
    ... version: 1
    ... workspaces: ["%WORKSPACE%"]
    ... channels: [team]
    ... reactions:
    ...   - name: tell-new-models
    ...     on: ModelRegistered
    ...     do:
    ...       - notify: {channel: team, title: "${{ model.name }} is new"}
    ... '''
    >>> provider = "providers/Microsoft.MachineLearningServices"
    >>> workspace = f"/subscriptions/{UUID(int=1)}/resourceGroups/ml/{provider}/workspaces/churn"
    >>> reactions = load_reactions(file, actions=ACTIONS, settings={"WORKSPACE": workspace})
    >>> reactions.get("tell-new-models").on
    (<EventType.MODEL_REGISTERED: 'ModelRegistered'>,)

    Raises: ReactionsInvalid, with every finding.
    """
    document, faults = read_document(text) if isinstance(text, str) else _read_files(text)
    found = [finding_at(fault.mark, fault.message, fault.hint) for fault in faults]
    if document is None:
        raise ReactionsFaulty(source, _in_order(found))
    report = Report(document, found)
    context = LoadContext(
        frozenset(),
        has_file,
        find_job_faults=find_job_faults,
        find_channel_fault=find_channel_fault,
        find_topic_fault=find_topic_fault,
        find_target_fault=find_target_fault,
        files_in=files_in,
    )
    loader = _ReactionsLoader(report, actions, settings, strict_settings, context)
    try:
        loaded = loader.load(document.value)
        if loaded is not None and not report.has_errors:
            look_further(loaded, report, loader.workspace_paths)
    except TooManyFindings:
        loaded, message = None, f"there are more than {FINDINGS_MAX} mistakes"
        last = max(report.findings, key=lambda item: item.line)
        hint, severity = "Fix these first.", Severity.ERROR
        report.findings.append(replace(last, message=message, hint=hint, severity=severity))
    findings = _in_order(report.findings)
    if loaded is None or any(item.severity is Severity.ERROR for item in findings):
        raise ReactionsFaulty(source, findings)
    return replace(loaded, warnings=findings)


def _read_files(texts: Mapping[str, str]) -> tuple[Document | None, tuple[Fault, ...]]:
    """Read several files as one document; without one, a file can't be read."""
    from shared.reactions.merging import merge

    read = [read_document(text, name) for name, text in texts.items()]
    if faults := tuple(fault for _, found in read for fault in found):
        return None, faults
    return merge(document for document, _ in read if document is not None)


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda item: (item.file, item.line, item.column or 0)))


class _ReactionsLoader:
    """Reads the data of one document, layer by layer; its mistakes go to the report."""

    def __init__(
        self,
        report: Report,
        actions: Mapping[str, type[Params]],
        settings: Mapping[str, str],
        strict_settings: bool,
        context: LoadContext,
    ) -> None:
        self._report = report
        self._actions = actions
        self._settings = settings
        self._strict_settings = strict_settings
        self._context = context
        #: The place of each workspace, by its key.
        self.workspace_paths: Mapping[str, Path] = {}

    def load(self, data: Any) -> Reactions | None:
        """Return the reactions in the file, as far as they can be read."""
        if not isinstance(data, dict):
            message = f"the file should be a mapping, found {kind_of_value(data)}"
            self._report.error((), message, "Begin with `version: 1`.")
            return None
        refuse_secrets(data, self._report)
        beside = set(Orphans.model_fields) & data.keys()
        if "orphans" in data and data["orphans"] is None and beside:
            fault = misplaced(("orphans",))
            self._report.refuse(fault.path, fault.message, fault.hint, key=True)
            data = {key: value for key, value in data.items() if key not in beside | {"orphans"}}
        self._report.check_keys(data, (), FILE_KEYS, "the file")
        self._check_version(data)
        workspaces = read_workspaces(
            self._list(data, "workspaces", required=True),
            self._settings,
            self._strict_settings,
            self._report,
        )
        self.workspace_paths = {item.key: path for path, item in workspaces.items()}
        before = len(self._report.findings)
        channels = read_channels(self._list(data, "channels", required=False), self._report)
        is_read = len(self._report.findings) == before
        context = replace(self._context, channels=frozenset(channels) if is_read else None)
        before = len(self._report.findings)
        topics = read_topics(self._list(data, "topics", required=False), self._report)
        has_topics = len(self._report.findings) == before
        context = replace(context, topics=frozenset(topics) if has_topics else None)
        context = replace(context, strategies=self._strategies(data, context))
        orphans = self._orphans(data, context)
        items, defaults = self._expanded(data)
        reactions = self._reactions(items, context)
        reactions = self._with_freezes(data, reactions, context)
        always = channels_of_defaults(defaults)
        if is_read and not self._report.has_errors:
            refuse_unknown_channels(always, channels, self._report)
        warn_of_channels(channels if is_read else (), always, self._report, context)
        warn_of_topics(topics if has_topics else (), self._report, context)
        warn_of_outcomes_topic(self._settings, self._report, context)
        self._warn_of_unused_strategies(context)
        warn_of_silence(reactions, channels, always, self._report)
        return Reactions(
            workspaces=tuple(workspaces.values()),
            channels=channels,
            topics=topics,
            reactions=reactions,
            rollouts={name: item for name, item in context.strategies.items() if item is not None},
            orphans=orphans,
            chain_limit=self._chain_limit(data),
            find_models=self._find_models(data),
            messages_per_hour=self._messages(data, context).per_hour,
            default_channels=always,
        )

    def _expanded(self, data: dict[str, Any]) -> tuple[list[Any], dict[str, dict[str, Any]]]:
        """Return the reactions, completed from `vars` and `defaults`, and the defaults."""
        items = self._list(data, "reactions", required=True)
        written = self._mapping(data, "defaults", "Write actions below it: `deploy: {…}`.")
        if "vars" in data:
            from shared.reactions.vars import read_vars

            names = self._mapping(data, "vars", "Write values below it: `team: churn`.")
            variables = read_vars(names, self._report)
            items = variables.expand(items, ("reactions",))
            written = variables.expand(written, ("defaults",))
            variables.warn_of_unused()
        if not written:
            return items, {}
        from shared.reactions.defaults import read_defaults, with_defaults

        defaults = read_defaults(written, self._actions, self._report)
        return with_defaults(items, defaults, self._report), defaults

    def _chain_limit(self, data: dict[str, Any]) -> int:
        value = data.get("chain_limit", CHAIN_LIMIT)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= CHAIN_MOST:
            return value
        message = f"`chain_limit:` should be from 1 to {CHAIN_MOST}, found {found(value)}"
        hint = "It is how many reactions may follow one another."
        self._report.error(("chain_limit",), message, hint)
        return CHAIN_LIMIT

    def _find_models(self, data: dict[str, Any]) -> bool:
        value = data.get("find_models", False)
        if isinstance(value, bool):
            return value
        message = f"`find_models:` should be true or false, found {found(value)}"
        hint = "With true, the sweep looks for models that Event Grid never reported."
        self._report.error(("find_models",), message, hint)
        return False

    def _misspelt(self, data: dict[str, Any], key: str) -> bool:
        """Say whether a key that is missing is one that was misspelt, which is said of it."""
        return any(nearest(other, {key}) for other in data.keys() - FILE_KEYS)

    def _check_version(self, data: dict[str, Any]) -> None:
        if "version" not in data and self._misspelt(data, "version"):
            return
        if "version" not in data:
            self._report.error((), "`version:` is missing", f"Begin with `version: {VERSION}`.")
        elif data["version"] != VERSION or isinstance(data["version"], bool):
            message = f"`version:` should be {VERSION}, found {found(data['version'])}"
            self._report.error(("version",), message, "This app reads no other version.")

    def _list(self, data: dict[str, Any], key: str, *, required: bool) -> list[Any]:
        if key not in data:
            if required and not self._misspelt(data, key):
                self._report.error((), f"`{key}:` is missing", f"Add `{key}:` with a list.")
            return []
        value = data[key]
        if isinstance(value, list):
            return value
        inside = value.values() if isinstance(value, dict) else [value]
        if key == "topics" and any(isinstance(item, str) and "://" in item for item in inside):
            address = (TOPIC_ADDRESS_IN_FILE, TOPIC_ADDRESS_HINT)
            self._report.error((key,), *address, key=True)
            return []
        if key == "channels" and (addresses := [*filter(is_address, texts_in(value))]):
            names = value if isinstance(value, dict) else ()
            self._report.error((key,), ADDRESS_IN_FILE, address_hint(addresses, names), key=True)
            return []
        hint = "Begin each item on a line of its own with `- `."
        message = f"`{key}:` should be a list, found {kind_of_value(value)}"
        if isinstance(value, str):
            message = f"`{key}:` should be a list, found {found(value)}"
            is_word = re.fullmatch(r"[\w-]{1,63}", value)
            hint = f"Write [{cut(value)}]." if is_word else ""
            hint = list_hint(value) if key == "workspaces" else hint
        self._report.error((key,), message, hint, key=True)
        return []

    def _mapping(self, data: dict[str, Any], key: str, hint: str) -> dict[str, Any]:
        value = data.get(key, {})
        if isinstance(value, dict):
            return value
        message = f"`{key}:` should be a mapping, found {kind_of_value(value)}"
        self._report.error((key,), message, hint, key=True)
        return {}

    def _strategies(
        self, data: dict[str, Any], context: LoadContext
    ) -> "dict[str, Strategy | None]":
        items = self._mapping(data, "rollouts", "Write strategies below it: `name: {steps: […]}`.")
        if not items:
            return {}
        from shared.reactions.strategies import read_strategies

        return read_strategies(items, self._report, context)

    def _warn_of_unused_strategies(self, context: LoadContext) -> None:
        used = context.named_strategies
        if self._report.has_errors or any(OPEN in name for name in used):
            return
        for name in context.strategies.keys() - used:
            hint = f"Remove it, or name it in a `deploy`: `rollout: {name}`."
            message = f"no reaction uses strategy '{name}'"
            self._report.warn(("rollouts", name), message, hint, key=True)

    def _orphans(self, data: dict[str, Any], context: LoadContext) -> Orphans | None:
        if "orphans" not in data:
            return None
        items = self._mapping(data, "orphans", "Write its values below it: `after: 1d`.")
        return self._values("orphans", items, Orphans, context)

    def _messages(self, data: dict[str, Any], context: LoadContext) -> Messages:
        items = self._mapping(data, "messages", "Write its value below it: `per_hour: 60`.")
        return self._values("messages", items, Messages, context) or Messages()

    def _values[V: Values](
        self, key: str, items: dict[str, Any], kind: type[V], context: LoadContext
    ) -> V | None:
        values, faults = read_values(key, items, kind, context)
        for fault in faults:
            path = (key, *fault.path)
            self._report.error(path, fault.message, fault.hint, key=fault.is_of_key)
        return values

    def _reactions(self, items: list[Any], context: LoadContext) -> tuple[Reaction, ...]:
        reader = ReactionReader(self._report, self._actions, context)
        astray = set(self._find_astray(items))
        read = [reader.read(item, index) for index, item in enumerate(items) if index not in astray]
        return tuple(reaction for reaction in read if reaction is not None)

    def _with_freezes(
        self, data: dict[str, Any], reactions: tuple[Reaction, ...], context: LoadContext
    ) -> tuple[Reaction, ...]:
        """Return the reactions with their freezes. Few files have any, and so need time zones."""
        written = [
            (("reactions", index), item)
            for index, item in enumerate(self._list(data, "reactions", required=False))
            if isinstance(item, dict)
        ]
        if not (
            data.keys() & {"freezes", "freeze"} or any("freeze" in item for _, item in written)
        ):
            return reactions
        from shared.reactions.freeze_reader import FreezeReader

        reader = FreezeReader(data, self._report, context)
        named = {
            str(item.get("name")): reader.of_reaction(item, path, str(item.get("name")))
            for path, item in written
            if "freeze" in item
        }
        reader.warn_of_unused()
        return tuple(
            replace(it, freezes=named.get(it.name, reader.of_file if it.makes else ()))
            for it in reactions
        )

    def _find_astray(self, items: list[Any]) -> Iterator[int]:
        """Yield the items that are actions of the reaction before, in the column of its `- `."""
        owner = None
        for index, item in enumerate(items):
            is_action = isinstance(item, dict) and len(item) == 1 and set(item) < set(self._actions)
            if not is_action:
                named = isinstance(item, dict) and "do" in item and item["do"] is None
                owner = index if named else None
            elif owner is not None:
                hint = "Indent them by four spaces more than the `- ` of the reaction."
                message = "the actions of `do` are not below it"
                self._report.refuse(("reactions", owner, "do"), message, hint, key=True)
                yield index
