"""What the commands share: the app's services, errors on one line, and JSON for programs."""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
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

_PIPE_WIDTH = 1_000

By = Annotated[
    str,
    typer.Option(
        "--by",
        envvar="SIGNALBOX_USER",
        help="Who says so; else whoever is signed in here. It is kept.",
    ),
]
Why = Annotated[str, typer.Option("--why", "-m", help="The reason. It is kept.")]
InWorkspace = Annotated[str, typer.Option("--workspace", help="Of this workspace only, by name.")]

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

    # What the SDKs would say of a failure is in the error; the rest is of no use on a terminal.
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
    matches = [item for item_id, item in found.items() if item_id.startswith(prefix)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise fail(f"{len(matches)} {noun}s begin with {prefix}: write more of the id")
    raise fail(f"there is no {noun} {prefix}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where the terminal is too narrow for it, one row after the other."""
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = _console()
    wide = Measurement.get(console, console.options.update_width(_PIPE_WIDTH), table).maximum
    if wide <= console.width or not console.is_terminal:
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


def print_lines(lines: "Iterable[Text]") -> None:
    """Print lines, in colour where the terminal has it; none is wrapped in a pipe."""
    console = _console()
    for line in lines:
        console.print(line, soft_wrap=True)


def _console() -> "Console":
    from rich.console import Console

    # A pipe of an old code page has no signs for what is drawn.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def visible(text: str) -> str:
    """Return the text as a terminal may have it: on one line, without secrets."""
    from shared.base.outgoing import for_terminal

    return for_terminal(text)


def when(time: datetime) -> str:
    """Write a time for people, to the second, in UTC."""
    from shared.base.words import second

    return second(time)
