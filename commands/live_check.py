"""Asks workspaces and channels for `signalbox check`: `--live`, `--send-test`.

Nothing is written in a workspace: only methods that read are reached.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from commands.common import visible
from shared.actions import questions_of
from shared.actions.live import DATA_SCIENTIST, LiveFault, LiveStep, Question
from shared.base.errors import ChannelUnknown, WorkspaceDenied, failure_of
from shared.base.words import listed
from shared.events.model import EventType, Workspace
from shared.reactions.expressions import compile_expression, operands
from shared.twins.overlays import READS

if TYPE_CHECKING:
    from shared.base.errors import Failure
    from shared.base.ports import Channels
    from shared.reactions.model import Reaction, Reactions, Step
    from shared.schema.document import Path
    from shared.schema.report import Report
    from shared.workspaces.ports import Workspaces

#: So many requests are under way at once, which no limit of Azure's is near.
_AT_ONCE = 8
#: A file with more questions than these is asked in part.
QUESTIONS_MAX = 1000
_NAMES_MAX = 6
_RUN_EVENTS = {EventType.RUN_COMPLETED, EventType.RUN_STATUS_CHANGED}
#: Values in a condition, names that read the event, and signs that may read anything of it.
_LITERAL = re.compile(r"'[^']*'|`[^`]*`")
_READ = re.compile(r"(?<![\w.])[A-Za-z_]\w*+(?!\()")
_ANYTHING = frozenset('@*"\\')

TEST_TITLE = "A test message of Signalbox"
TEST_TEXT = (
    "Somebody ran `signalbox check --send-test`, to see that messages arrive here."
    " Nothing has happened, and nothing has to be done."
)
TOPICS_NOTE = "topics are not tested: an event would set off the systems that listen there"


class _RememberedReads:
    """The workspaces, of which each question is asked once, in whichever thread comes first."""

    def __init__(self, real: "Callable[[], Workspaces]") -> None:
        self._real = real
        self._lock = Lock()
        self._answers: dict[Any, Future[Any]] = {}

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in READS:
            raise AttributeError(method)

        def read(*asked: Any, **options: Any) -> Any:
            key = (method, asked, tuple(sorted(options.items())))
            with self._lock:
                known = self._answers.get(key)
                answer = self._answers.setdefault(key, Future())
            if known is None:
                try:
                    answer.set_result(getattr(self._real(), method)(*asked, **options))
                except BaseException as error:  # noqa: BLE001 - each that waits gets it
                    answer.set_exception(error)
            return answer.result()

        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question, with the reaction and the workspace that it is for. `path` is its value's."""

    question: Question
    workspace: Workspace
    path: "Path"
    reaction: str


@dataclass(slots=True, kw_only=True)
class LiveCheck:
    """Asks what the file can't say; `look` is the `look_further` of `load_reactions`.

    `workspaces` is None where they are not to be asked, and `channels` where no message is to be
    sent. `notes` say what is not checked.
    """

    workspaces: "Callable[[], Workspaces] | None"
    channels: "Callable[[], Channels] | None"
    read_file: Callable[[str], bytes]
    was_asked: bool = False
    _notes: list[str] = field(default_factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was sent, and what is not checked, each in one line."""
        if not self.was_asked:
            return ("nobody was asked, because the file has errors",)
        return tuple(visible(note) for note in self._notes)

    def look(self, reactions: "Reactions", report: "Report", places: "Mapping[str, Path]") -> None:
        """Add what the answers say to the report; `places` are those of workspaces."""
        self.was_asked = True
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            if self.workspaces is not None:
                reads = cast("Workspaces", _RememberedReads(self.workspaces))
                there = self._there(reactions, report, places, reads, pool)
                self._ask(self._questions(reactions, there, reads), report, places, pool)
            if self.channels is not None:
                self._send_tests(reactions, report, pool)

    def _there(
        self,
        reactions: "Reactions",
        report: "Report",
        places: "Mapping[str, Path]",
        reads: "Workspaces",
        pool: ThreadPoolExecutor,
    ) -> tuple[Workspace, ...]:
        """Return the workspaces that answer; a finding says what is wrong with each other one."""

        def ask(workspace: Workspace) -> LiveFault | None:
            if reads.has_resource(workspace):
                return None
            where = f"in resource group '{workspace.resource_group}'"
            message = f"there is no workspace '{workspace.name}' {where}"
            return LiveFault(message=message, hint="Correct its ARM id, or remove it.")

        found = []
        answers = pool.map(lambda one: _answer(lambda: ask(one)), reactions.workspaces)
        for workspace, answer in zip(reactions.workspaces, answers, strict=True):
            if answer is None:
                found.append(workspace)
            elif isinstance(answer, LiveFault):
                report.error(places[workspace.key], visible(answer.message), answer.hint)
            else:
                _add_failure(report, places[workspace.key], answer, DATA_SCIENTIST)
        return tuple(found)

    def _questions(
        self, reactions: "Reactions", there: tuple[Workspace, ...], reads: "Workspaces"
    ) -> Iterator[_Asked]:
        """Yield what is to be asked of the steps of enabled reactions."""
        for reaction in reactions.reactions:
            for workspace in there if reaction.enabled else ():
                if not may_act_in(reaction, workspace):
                    continue
                for step in reaction.do:
                    live = LiveStep(
                        params=step.params,
                        workspace=workspace,
                        workspaces=reads,
                        read_file=self.read_file,
                    )
                    for question in _of_step(reaction, step, live):
                        yield _Asked(
                            question=question,
                            workspace=workspace,
                            path=(*step.path, *question.path),
                            reaction=reaction.name,
                        )

    def _ask(
        self,
        asked: Iterable[_Asked],
        report: "Report",
        places: "Mapping[str, Path]",
        pool: ThreadPoolExecutor,
    ) -> None:
        every = list(asked)
        self._note_open(item for item in every if item.question.ask is None)
        answered = [item for item in every if item.question.ask is not None]
        if len(answered) > QUESTIONS_MAX:
            self._notes.append(f"only the first {QUESTIONS_MAX} of {len(answered)} were asked")
        answered = answered[:QUESTIONS_MAX]
        answers = pool.map(lambda item: _answer(item.question.ask), answered)
        said = set[object]()
        for item, answer in zip(answered, answers, strict=True):
            if isinstance(answer, LiveFault):
                _add_fault(report, item, answer, said)
            elif answer is not None:
                is_denied = answer.code == WorkspaceDenied.code
                cause = item.question.role if is_denied else answer.code
                if (item.workspace.key, cause) not in said:
                    said.add((item.workspace.key, cause))
                    place = places[item.workspace.key]
                    _add_failure(report, place, answer, item.question.role)

    def _note_open(self, asked: Iterable[_Asked]) -> None:
        names = dict.fromkeys(
            f"`{'.'.join(map(str, item.question.path))}` of '{item.reaction}'" for item in asked
        )
        if names:
            shown = listed(list(names), _NAMES_MAX)
            self._notes.append(f"not checked, because only an event decides it: {shown}")

    def _send_tests(
        self, reactions: "Reactions", report: "Report", pool: ThreadPoolExecutor
    ) -> None:
        """Send each channel one message; a finding says which did not take it."""
        assert self.channels is not None
        make = self.channels

        def send(channel: str) -> "Failure | bool":
            try:
                make().send(channel, title=TEST_TITLE, text=TEST_TEXT, good=None)
            except ChannelUnknown:
                return False  # that is found without a message
            except Exception as error:  # noqa: BLE001 - it becomes a finding
                return failure_of(error)
            return True

        names = reactions.channels
        answers = list(pool.map(send, names))
        for index, answer in enumerate(answers):
            if not isinstance(answer, bool):
                message = f"channel '{names[index]}' did not take the test message"
                where = ("channels", index)
                report.error(where, visible(f"{message}: {answer.reason}"), visible(answer.hint))
        if took := [name for name, took in zip(names, answers, strict=True) if took is True]:
            self._notes.append(f"a test message went to {listed(took, _NAMES_MAX)}")
        if reactions.topics:
            self._notes.append(TOPICS_NOTE)


def may_act_in(reaction: "Reaction", workspace: Workspace) -> bool:
    """Say whether events of a workspace may set a reaction off, as far as its condition tells.

    Only parts that read nothing but the workspace are looked at: `workspace.name == 'dev'`.
    """
    if reaction.when is None:
        return True
    operator, sides = operands(reaction.when.text)
    parts = [text for _, text in sides] if operator == "and" else [reaction.when.text]
    names = {
        "subscription": workspace.subscription,
        "resource_group": workspace.resource_group,
        "name": workspace.name,
        "id": workspace.id,
    }
    return all(
        compile_expression(part).holds({"workspace": names})
        for part in parts
        if _reads_workspace_only(part)
    )


def _reads_workspace_only(part: str) -> bool:
    bare = _LITERAL.sub("", part)
    return _ANYTHING.isdisjoint(part) and set(_READ.findall(bare)) == {"workspace"}


def _of_step(reaction: "Reaction", step: "Step", live: LiveStep) -> Iterator[Question]:
    if _RUN_EVENTS & set(reaction.on):
        yield live.may_read_runs()
    yield from questions_of(step.action, live)


def _answer(ask: Callable[[], LiveFault | None] | None) -> "LiveFault | Failure | None":
    """Return what the answer says, or why there is none."""
    assert ask is not None
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - it becomes a finding
        return failure_of(error)


def _add_fault(report: "Report", item: _Asked, fault: LiveFault, said: set[object]) -> None:
    """Add a fault at its value; several steps of one default have it there once."""
    message, hint = visible(fault.message), visible(fault.hint)
    if (item.path, message) in said:
        return
    said.add((item.path, message))
    if fault.is_certain:
        report.error(item.path, message, hint, reaction=item.reaction)
    else:
        report.warn(item.path, message, hint)


def _add_failure(report: "Report", path: "Path", failure: "Failure", role: str) -> None:
    """Add why a workspace gave no answer: an error where a role is missing, else a warning."""
    if failure.code == WorkspaceDenied.code:
        hint = f"It takes the {role} (docs/reference/roles.md)."
        report.error(path, visible(failure.reason), f"{hint} On a laptop, sign in with `az login`.")
        return
    message = f"this could not be checked: {failure.reason}"
    report.warn(path, visible(message), visible(failure.hint) or "Run the command again.")
