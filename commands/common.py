"""The common parts of the commands: the app's services, errors on one line, JSON for programs."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime, timedelta
from getpass import getuser
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from shared.services import Services

EXIT_ERRORS = 1
EXIT_UNREADABLE = 2

#: No table is as wide.
_ENDLESS = 10_000

By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="NAME",
        envvar="SIGNALBOX_USER",
        help="Who gives the order; by default the user of this machine. It is kept.",
    ),
]
Why = Annotated[str, typer.Option("--why", "-m", metavar="TEXT", help="The reason. It is kept.")]
InWorkspace = Annotated[
    str, typer.Option("--workspace", metavar="NAME", help="Only those of this workspace.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def local_settings(path: Path) -> dict[str, str]:
    """Return the values of a local.settings.json, none if there is no such file.

    Says what is wrong with one that can't be read, and exits with 1: without it, the next message
    would be that a setting is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise fail(f"{path} can't be read ({type(error).__name__})") from None
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError as error:
        # Of a text without an end it says where that begins, in a place of its own.
        what = error.msg.removesuffix(" starting at")
        place = f"line {error.lineno}, column {error.colno}"
        raise fail(f"{path} is damaged: {place}: {what}") from None
    except RecursionError:
        raise fail(f"{path} is damaged: it is nested too deep") from None
    if isinstance(document, dict) and document.get("IsEncrypted"):
        raise fail(f"{path} is encrypted: run `func settings decrypt`, or set the environment")
    values = document.get("Values", {}) if isinstance(document, dict) else None
    if not isinstance(values, dict):
        raise fail(f"{path} is damaged: it needs an object `Values` of names and texts")
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise fail(visible(f"{path} is damaged: `Values.{name}` should be text"))
    return {name: str(value) for name, value in values.items()}


def settings_beside(folder: Path) -> Mapping[str, str]:
    """Return the app settings of a laptop: local.settings.json, and over it the environment."""
    return {**local_settings(folder / "local.settings.json"), **os.environ}


@contextmanager
def app_services() -> "Iterator[Services]":
    """Give the services of the app beside manage.py; say an error on one line, and exit with 1."""
    from shared.base.errors import SignalboxError
    from shared.base.settings import APP_ROOT
    from shared.services import Services

    # The error has the SDK's reason; the SDKs' other log lines are of no use on a terminal.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    try:
        yield Services(settings_beside(APP_ROOT))
    except SignalboxError as error:
        typer.echo(f"{error.code}: {error.message}", err=True)
        if error.hint:
            typer.echo(error.hint, err=True)
        raise typer.Exit(EXIT_ERRORS) from None


def fail(message: str) -> typer.Exit:
    """Say what is wrong; the caller raises what this returns."""
    typer.echo(message, err=True)
    return typer.Exit(EXIT_ERRORS)


def who(by: str) -> str:
    """Return who gives an order: as it was said, else the user of this machine."""
    try:
        return by or getuser()
    except OSError:
        raise fail("say who you are: --by NAME, or SIGNALBOX_USER") from None


def print_json(value: Any) -> None:
    """Print a dataclass, or a list of them, as JSON without secrets."""
    from shared.base.outgoing import for_row

    typer.echo(for_row(json.dumps(value, default=_plain, indent=2)))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def pick[T](found: Mapping[str, T], prefix: str, noun: str) -> T:
    """Return the one thing whose id begins so; exit with 1 where there is none, or more."""
    if not prefix.strip():
        raise fail(f"the id is empty: `signalbox {noun}s list` shows the ids")
    matches = [item for item_id, item in found.items() if item_id.startswith(prefix)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise fail(f"{len(matches)} {noun}s begin with {prefix}: give more of the id")
    raise fail(f"there is no {noun} {prefix}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; as blocks where the terminal is too narrow, with tabs in a pipe."""
    console = _console()
    if not console.is_terminal:
        for line in (columns, *rows):
            typer.echo("\t".join(visible(cell) for cell in line))
        return
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    wide = Measurement.get(console, console.options.update_width(_ENDLESS), table).maximum
    if wide <= console.width:
        console.print(table)
    else:
        _print_blocks(console, columns, rows)


def _print_blocks(
    console: "Console", columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print each row as a block: its first cell as the title, the others with their names."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for row in rows:
        console.print(Text(visible(row[0]), style="bold"))
        block = Table(box=None, pad_edge=False, show_header=False)
        block.add_column(no_wrap=True, style="dim")
        block.add_column(overflow="fold")
        for name, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                block.add_row(name, Text(visible(cell)))
        console.print(Padding(block, (0, 0, 0, 2)))


def print_facts(facts: Mapping[str, str]) -> None:
    """Print each fact that there is as a line, its value below those of the others."""
    wide = max(map(len, facts)) + 1
    print_lines(f"{name + ':':{wide}}  {visible(fact)}" for name, fact in facts.items() if fact)


def print_lines(lines: "Iterable[Text | str]") -> None:
    """Print lines, in colour where the terminal has it.

    On a terminal a line that is too long goes on below its last column, which begins after two
    blanks. No word is broken, so that it can be copied. In a pipe each line stays one.
    """
    from rich.text import Text

    console = _console()
    for line in lines:
        for part in _wrapped(Text(line) if isinstance(line, str) else line, console):
            console.print(part, soft_wrap=True)


#: Text beside a column that is longer than this is still readable; else it goes below.
_NARROW = 30


def _wrapped(line: "Text", console: "Console") -> "Iterator[Text]":
    """Yield the line, in as many parts as the terminal needs."""
    from rich.text import Text

    plain = line.plain
    if not console.is_terminal or line.cell_len <= console.width or not plain.strip():
        yield line
        return
    start = below = plain.rfind("  ") + 2 if "  " in plain else 0
    if console.width - start < _NARROW:
        start = len(plain) - len(plain.lstrip())
        below = start + 2
    for number, (first, last) in enumerate(_spans(plain[start:], console.width - below)):
        part = line[start + first : start + last]
        yield line[:start] + part if number == 0 else Text(" " * below) + part


def _spans(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Yield where each line of a text begins and ends if no word of it is broken."""
    first = last = 0
    for word in re.finditer(r"\S+", text):
        if last and word.end() - first > width:
            yield first, last
            first = word.start()
        last = word.end()
    yield first, last


def terminal_width() -> int:
    """Return how many columns there are; in a pipe, as many as anything takes."""
    console = _console()
    return console.width if console.is_terminal else _ENDLESS


def _console() -> "Console":
    from rich.console import Console

    # A pipe of an old code page has no signs for what is drawn.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False)


def visible(text: str) -> str:
    """Return the text as a terminal may have it: on one line, without secrets."""
    from shared.base.outgoing import for_terminal

    return for_terminal(text)


def when(time: datetime) -> str:
    """Write a time for people, to the second, in UTC."""
    from shared.base.words import second

    return second(time)


def time_given(text: str, now: datetime) -> datetime:
    """Return a time: a length of time before now, or one that is written out, in UTC."""
    from shared.base.durations import parse_duration

    try:
        return now - parse_duration(text)  # type: ignore[no-any-return, operator]
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time: write 45m, 2h, 7d, or 2026-03-02T09:00Z"
        raise fail(visible(message)) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
