"""`signalbox eval`: the value of an expression or a template for an event, part by part."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import EXIT_ERRORS, AsJson, app_services, print_json, print_lines, visible
from commands.given import as_json_text, known_event

if TYPE_CHECKING:
    from shared.events.model import Event
    from shared.reactions.evaluation import Evaluation

#: A value that is longer is cut where it is not the whole answer.
_VALUE_MAX = 100
#: A text that is longer has its value on a line of its own.
_TEXT_MAX = 60
_PROMPT = "> "
_HELP = (
    "Write an expression, or a text with ${{ expressions }} in it. `fields` lists the event's"
    " fields, `functions` the functions; Tab completes both; `quit` or Ctrl-D ends."
)


def evaluate(
    event: Annotated[
        str,
        typer.Option(
            "--event", "-e", metavar="FILE|ID", help="The event: a file, - for input, or an id."
        ),
    ],
    expression: Annotated[
        str | None,
        typer.Argument(metavar="[EXPR]", help="An expression, or a text with ${{ }} in it."),
    ] = None,
    kind: Annotated[
        str, typer.Option("--type", metavar="TYPE", help="Of several events, the one of this type.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show what an expression gives for an event.

    With the value of each part of it. Without EXPR a prompt stays open. The exit
    status is 1 if the expression has an error.
    """
    from shared.events.model import as_data

    with app_services() as services:
        found = known_event(services, event, kind)
    data = as_data(found)
    if expression is not None:
        if not _answer(expression, found, data, as_json=as_json):
            raise typer.Exit(EXIT_ERRORS)
        return
    _prompt(found, data, as_json=as_json)


def _answer(text: str, event: "Event", data: Mapping[str, Any], *, as_json: bool) -> bool:
    """Print what a text gives; say whether it has a value."""
    from shared.reactions.evaluation import evaluate_text, find_text_faults
    from shared.reactions.expressions import ExpressionSyntax

    try:
        found = evaluate_text(text, data)
        doubts = find_text_faults(text, event.type)
    except ExpressionSyntax as error:
        if as_json:
            place = {"offset": error.offset, "hint": error.hint}
            print_json({"text": text, "error": error.message, **place})
        else:
            print_lines(_with_caret(text, error.message, error.hint, error.offset))
        return False
    if as_json:
        faults = [asdict(doubt) for doubt in doubts]
        print_json({**_as_data(found), "warnings": faults})
    else:
        print_lines(_told(found))
        for doubt in doubts:
            print_lines(_with_caret(text, doubt.message, doubt.hint, doubt.offset))
    return not found.error


def _as_data(found: "Evaluation") -> dict[str, Any]:
    return {
        "text": found.text,
        "value": found.value,
        "kind": _kind(found),
        "error": found.error,
        "parts": [_as_data(part) for part in found.parts],
    }


def _kind(found: "Evaluation") -> str:
    from shared.schema.wording import kind_of_value

    if found.error:
        return "error"
    return "null" if found.value is None else kind_of_value(found.value).removeprefix("a ")


def _told(found: "Evaluation") -> Iterator[str]:
    """Yield the value of the whole, and below it those of its parts."""
    value = f"error: {found.error}" if found.error else as_json_text(found.value)
    yield visible(value if found.error else f"{value}  ({_kind(found)})")
    rows = list(_rows(found.parts, 1))
    wide = max((len(text) for text, _ in rows if len(text) <= _TEXT_MAX), default=0)
    for text, result in rows:
        yield f"{text:{wide}}  {result}"


def _rows(parts: "Iterable[Evaluation]", depth: int) -> Iterator[tuple[str, str]]:
    from shared.base.words import shortened

    for part in parts:
        result = f"error: {part.error}" if part.error else as_json_text(part.value)
        yield "  " * depth + visible(part.text), visible(shortened(result, _VALUE_MAX))
        yield from _rows(part.parts, depth + 1)


def _with_caret(text: str, message: str, hint: str, offset: int | None) -> Iterator[str]:
    """Yield a fault below the place in the text that it is about."""
    shown = visible(text)
    # Without a secret that was taken out of it, the place would be another one.
    if offset is not None and len(shown) == len(text):
        start = max(0, offset - _TEXT_MAX)
        yield ("…" if start else "") + shown[start : offset + _TEXT_MAX]
        yield " " * (offset - start + bool(start)) + "^"
    yield visible(message)
    if hint:
        yield visible(hint)


def _prompt(event: "Event", data: Mapping[str, Any], *, as_json: bool) -> None:
    """Answer line after line, until the input ends."""
    import sys

    is_terminal = sys.stdin.isatty()
    if is_terminal:
        _complete(data)
        typer.echo(visible(f"{event.type} {event.about} of workspace {event.workspace.name}"))
        typer.echo(_HELP)
    is_good = True
    while (line := _read(_PROMPT if is_terminal else "")) is not None:
        match line.strip():
            case "":
                continue
            case "quit" | "exit":
                break
            case "help" | "?":
                typer.echo(_HELP)
            case "fields":
                print_lines(_fields(data))
            case "functions":
                typer.echo(", ".join(_functions()))
            case text:
                is_good &= _answer(text, event, data, as_json=as_json)
    if not is_terminal and not is_good:
        raise typer.Exit(EXIT_ERRORS)


def _read(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None
    except KeyboardInterrupt:  # as in a shell, it only gives up the line
        typer.echo()
        return ""


def _fields(data: Mapping[str, Any]) -> Iterator[str]:
    from shared.base.words import shortened

    rows = list(_leaves(data, ""))
    wide = max((len(path) for path, _ in rows if len(path) <= _TEXT_MAX), default=0)
    for path, value in rows:
        yield f"{visible(path):{wide}}  {visible(shortened(as_json_text(value), _VALUE_MAX))}"


def _leaves(value: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    """Yield the path of each field, as an expression has it, with its value."""
    for name, inner in value.items():
        word = name if name.isidentifier() and name.isascii() else as_json_text(name)
        path = f"{above}.{word}" if above else word
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, path)
        else:
            yield path, inner


def _functions() -> list[str]:
    from shared.reactions.functions import Functions

    return sorted(Functions.FUNCTION_TABLE)


def _complete(data: Mapping[str, Any]) -> None:
    """Have Tab complete fields and functions, and keep the lines for the next time."""
    try:
        import readline
    except ImportError:  # Windows has none
        return
    import atexit

    paths = [path for path, _ in _leaves(data, "")]
    above = {path.rpartition(".")[0] for path in paths} - {""}
    words = sorted({*paths, *above, *(f"{name}(" for name in _functions())})

    def complete(begun: str, number: int) -> str | None:
        fit = [word for word in words if word.startswith(begun)]
        return fit[number] if number < len(fit) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n&|!()[]{},=<>'`")
    readline.parse_and_bind("tab: complete")
    path = Path(typer.get_app_dir("signalbox")) / "eval_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        readline.read_history_file(path)
    except OSError:
        return
    readline.set_history_length(1000)
    atexit.register(_keep_history, path)


def _keep_history(path: Path) -> None:
    import contextlib
    import readline

    with contextlib.suppress(OSError):
        readline.write_history_file(path)
