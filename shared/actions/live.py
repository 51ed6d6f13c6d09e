"""Questions that the values of a step put to the workspaces, for `signalbox check --live`.

An action that has any has a function `live_questions` in its folder. It takes a LiveStep and yields
a Question for each value that a workspace can confirm. A question only reads.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.events.model import Workspace
from shared.reactions.templates import has_expressions, value_at
from shared.schema.document import Path
from shared.workspaces.model import EndpointKind
from shared.workspaces.ports import Workspaces

#: The roles of docs/reference/roles.md, in its words.
DATA_SCIENTIST: Final = "role AzureML Data Scientist on the workspace"
CORES: Final = "role for the free cores of a region, or Reader, on the subscription"

#: The name with which it is tried whether something may be read. Nobody has it.
_NOBODY = "signalbox-check"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFault:
    """An answer with which a step fails, or may fail where it is not certain."""

    message: str
    hint: str = ""
    is_certain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question about a value; `ask` is None where only an event decides the value.

    `path` leads to the value from those of the step. `role` is what the caller lacks if the
    workspace does not let it ask.
    """

    path: Path
    ask: Callable[[], LiveFault | None] | None
    role: str = DATA_SCIENTIST


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStep:
    """A step as it is written, with one of the workspaces that it may act on."""

    params: Mapping[str, Any]
    workspace: Workspace
    workspaces: Workspaces
    #: Returns a file of the app by its path. Raises: OSError.
    read_file: Callable[[str], bytes]

    def value(self, field: str, default: object = "") -> object:
        """Return the value at a dotted field as it is written, a Template where it has one."""
        found = value_at(self.params, field)
        return default if found is None else found

    def text(self, field: str) -> str:
        """Return the text at a dotted field, "" without one or where only an event decides it."""
        found = self.value(field)
        return found if isinstance(found, str) else ""

    @property
    def kind(self) -> EndpointKind | None:
        """The kind of the endpoint, None where only an event decides it."""
        found = self.value("kind", EndpointKind.MANAGED)
        return EndpointKind(found) if isinstance(found, str) else None

    def about(
        self, field: str, ask: Callable[[str], LiveFault | None], *, role: str = DATA_SCIENTIST
    ) -> Question:
        """Return a question about the text at a dotted field."""
        value = self.value(field)
        path = tuple(field.split("."))
        if has_expressions(value) or not isinstance(value, str):
            return Question(path=path, ask=None)
        return Question(path=path, ask=lambda: ask(value), role=role)

    def if_given(self, field: str, ask: Callable[[str], LiveFault | None]) -> Iterator[Question]:
        """Yield a question about the text at a dotted field, if there is one."""
        if self.value(field):
            yield self.about(field, ask)

    def find_absent(self, what: str, name: str, *names: str) -> LiveFault | None:
        """Return the fault where the workspace lacks the resource that the names lead to."""
        if self.workspaces.has_resource(self.workspace, *names):
            return None
        message = f"workspace '{self.workspace.name}' has no {what} '{name}'"
        return LiveFault(message=message, hint="Make it there, or name one that is.")

    def may_read_models(self) -> Question:
        """Return the question whether models may be read."""

        def ask() -> None:
            self.workspaces.get_model(self.workspace, _NOBODY, "1")

        return Question(path=(), ask=ask)

    def may_read_runs(self) -> Question:
        """Return the question whether runs may be read."""

        def ask() -> None:
            self.workspaces.get_run(self.workspace, _NOBODY)

        return Question(path=(), ask=ask)
