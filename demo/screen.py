"""The output of the demo: timed lines on a terminal, with its colours, or in a pipe."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

#: In a pipe, every fact is one line.
_ENDLESS = 1000
_INDENT = 4

_STYLES: Mapping[str, str] = {
    "live": "bold green",
    "done": "green",
    "checked": "green",
    "rolling-back": "bold yellow",
    "keeping": "yellow",
    "removing": "yellow",
    "gate": "dim",
    "gate failed": "bold red",
    "operator": "bold blue",
    "customers": "bold cyan",
    "the record": "bold cyan",
    "rolled-back": "yellow",
    "trouble": "yellow",
    "refused": "bold red",
    "outage": "bold red",
    "letter": "bold yellow",
    "team": "bold magenta",
    "scientist": "bold blue",
    "event": "blue",
    "requests": "bold cyan",
    "monitor": "bold blue",
    "policy": "bold yellow",
    "loop": "bold cyan",
    "not so": "bold red",
    "rules": "bold blue",
    "skipped": "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the summary: a story, what came of it, and how long that took."""

    title: str
    promise: str
    happened: str
    good: bool
    seconds: float | None = None


class Screen:
    """Writes lines, each with the time since the chapter began; for one thread."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _ENDLESS
        self.began_at = datetime.now(UTC)

    def title(self, title: str, text: str) -> None:
        """Open the show."""
        self._console.print()
        self._console.print(Text(title, style="bold"))
        self._console.print(Text(text, style="dim"))

    def chapter(self, title: str, text: str = "") -> None:
        """Begin a chapter: its times count from now."""
        self.began_at = datetime.now(UTC)
        self._console.print()
        self._console.print(Text(title, style="bold cyan"))
        if text:
            self._indented(Text(text, style="dim"))

    def line(self, label: str, text: str, *, at: datetime | None = None) -> None:
        """Show that something happened: just now, or at that time."""
        seconds = max(((at or datetime.now(UTC)) - self.began_at).total_seconds(), 0)
        style = _STYLES.get(label, "cyan")
        said = Text(text, style="green" if label == "checked" else "")
        self._row(Text(f"{seconds:.1f}s", style="dim"), Text(label, style=style), said)

    def quote(self, text: str) -> None:
        """Show somebody else's words, below a line."""
        for line in text.splitlines():
            self._row("", Text("|", style="dim", justify="right"), Text(line, style="dim"))

    def alarm(self, title: str, lines: Iterable[str]) -> None:
        """Show what went wrong, and what there is to know about it."""
        self._console.print()
        self._console.print(Text(title, style="bold red"))
        for line in lines:
            self._indented(Text(line))

    def summary(self, rows: Sequence[Row], footer: str) -> None:
        """Close the show: what was promised of each story, and what came of it."""
        self._console.print()
        self._console.print(Text("What came of it", style="bold cyan"))
        for row in rows:
            style = "green" if row.good else "bold red"
            time = "" if row.seconds is None else f"{row.seconds:.1f}s"
            mark = Text("as told" if row.good else "NOT as told", style=style)
            self._row(Text(time, style="dim"), mark, Text(row.title, style="bold"))
            self._row("", Text("promised", style="dim"), Text(row.promise, style="dim"))
            self._row("", Text("happened", style="dim"), Text(row.happened, style=style))
        self._console.print()
        self._console.print(Text(footer, style="bold"))

    def say(self, text: str = "", style: str = "") -> None:
        """Write a line that may be copied: whole, however long."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def entry(self, name: str, text: str) -> None:
        """Write a line of a list, which may be copied: whole, however long."""
        line = Text.assemble(" " * (_INDENT - 1), (f"{name:<11}", "cyan"), text)
        self._console.print(line, soft_wrap=True)

    @property
    def has_footer(self) -> bool:
        """Whether `footer` is shown: a pipe gets none."""
        return self._console.is_terminal

    @contextmanager
    def footer(self, write: Callable[[], str]) -> Iterator[None]:
        """Keep a line at the foot of a terminal up to date; a pipe gets none."""
        if not self._console.is_terminal:
            yield
            return

        def render() -> Text:
            return Text(write(), style="dim", no_wrap=True, overflow="ellipsis")

        with Live(
            console=self._console,
            get_renderable=render,
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def _indented(self, text: Text) -> None:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=_INDENT - 2)
        grid.add_column(overflow="fold")
        grid.add_row("", text)
        self._console.print(grid)

    def _row(self, time: Text | str, label: Text, text: Text) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=_INDENT + 3, justify="right")
        grid.add_column(width=12)
        grid.add_column(overflow="fold")
        grid.add_row(time, label, text)
        self._console.print(grid)
