"""`signalbox check`: what is wrong with a reactions file, and where."""

import json
import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.check_formats import Format, github_lines, sarif
from commands.common import (
    EXIT_ERRORS,
    EXIT_UNREADABLE,
    AsJson,
    print_lines,
    settings_beside,
    terminal_width,
    visible,
)
from shared.base.words import counted

if TYPE_CHECKING:
    from rich.text import Text

    from commands.live_check import LiveCheck
    from shared.reactions.load import LookFurther
    from shared.reactions.model import Params
    from shared.schema.findings import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings in a reactions file. `reactions` is None if they can't be counted."""

    source: str
    reactions: int | None
    findings: "tuple[Finding, ...]"
    notes: tuple[str, ...] = ()  #: Each says in one line what is not checked.

    def count(self, severity: str) -> int:
        """Return how many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def summary(self) -> str:
        """The result in one line."""
        errors, warnings = self.count("error"), self.count("warning")
        parts = [] if self.reactions is None else [counted(self.reactions, "reaction")]
        parts.append(counted(errors, "error") if errors else "no errors")
        parts += [counted(warnings, "warning")] if warnings else []
        return f"{self.source}: {', '.join(parts)}"


#: So much of a line is shown, and so much on either side of a place is looked at for secrets.
_EXCERPT, _AROUND = 160, 2000
#: The columns of a line's number, and of the bar behind it.
_NUMBER = 9
_ADDRESS = re.compile(r"(://)([^\s'\"\]},]+)")


def check_text(
    text: str | Mapping[str, str],
    actions: "Mapping[str, type[Params]]",
    settings: Mapping[str, str],
    source: str = "reactions.yaml",
    has_file: Callable[[str], bool] = lambda _: True,
    find_job_faults: Callable[[str, Collection[str]], tuple[str, ...]] = lambda *_: (),
    find_channel_fault: Callable[[str], tuple[str, str] | None] = lambda _: None,
    find_topic_fault: Callable[[str], tuple[str, str] | None] = lambda _: None,
    find_target_fault: Callable[[str, Any], tuple[str, str] | None] = lambda *_: None,
    files_in: Callable[[str], Collection[str]] = lambda _: (),
    look_further: "LookFurther" = lambda *_: None,
) -> Checked:
    """Check the text of a reactions file, or those of several by name.

    A setting that is not set here is but a warning.
    """
    from shared.reactions.load import load_reactions
    from shared.schema.findings import ReactionsFaulty

    try:
        loaded = load_reactions(
            text,
            source=source,
            actions=actions,
            settings=settings,
            strict_settings=False,
            has_file=has_file,
            find_job_faults=find_job_faults,
            find_channel_fault=find_channel_fault,
            find_topic_fault=find_topic_fault,
            find_target_fault=find_target_fault,
            files_in=files_in,
            look_further=look_further,
        )
    except ReactionsFaulty as error:
        return Checked(source=source, reactions=None, findings=error.findings)
    return Checked(source=source, reactions=len(loaded.reactions), findings=loaded.warnings)


def check(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="The rules file, or a folder of them; by default the app's own."
        ),
    ] = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="The form of the findings; the last two are for CI."),
    ] = Format.TEXT,
    is_strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 also if there are only warnings.")
    ] = False,
    is_live: Annotated[
        bool, typer.Option("--live", help="Ask the workspaces too, with your own identity.")
    ] = False,
    is_sending: Annotated[
        bool, typer.Option("--send-test", help="Send each channel of the file a test message.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find every mistake in a rules file.

    The exit status is 0 without errors, 1 with errors, and 2 if the file can't be read. `--json` is
    `--format json`.
    """
    from shared.actions import ACTIONS
    from shared.adapters.channels import find_channel_fault
    from shared.adapters.targets.setting_faults import find_target_fault
    from shared.adapters.topics import find_topic_fault
    from shared.base.rules_files import read_rules
    from shared.base.settings import APP_ROOT, reactions_file

    is_beside = path is not None and (path.parent / "local.settings.json").exists()
    settings = settings_beside(path.parent if path is not None and is_beside else APP_ROOT)
    if path is None:
        path = reactions_file(settings)
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
    try:
        text = read_rules(path, str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        typer.echo(f"{path} can't be read: {reason}", err=True)
        raise typer.Exit(EXIT_UNREADABLE) from None
    with _live_check(settings, is_live, is_sending) as live:
        checked = check_text(
            text,
            ACTIONS,
            settings,
            str(path),
            lambda name: (APP_ROOT / name).is_file(),
            _find_job_faults,
            partial(find_channel_fault, settings),
            partial(find_topic_fault, settings),
            partial(find_target_fault, settings),
            _files_in,
            live.look,
        )
    checked = replace(checked, notes=live.notes)
    _show(checked, text, Format.JSON if as_json else form)
    if checked.count("error") or (is_strict and checked.findings):
        raise typer.Exit(EXIT_ERRORS)


@contextmanager
def _live_check(
    settings: Mapping[str, str], is_live: bool, is_sending: bool
) -> "Iterator[LiveCheck | NobodyAsked]":
    """Give what asks the workspaces, and the channels, by these app settings."""
    if not (is_live or is_sending):
        yield NobodyAsked()
        return
    from commands.live_check import LiveCheck
    from shared.base.settings import APP_ROOT
    from shared.services import Services

    # The findings have the SDKs' reasons; their other log lines are of no use on a terminal.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    services = Services(settings)
    yield LiveCheck(
        workspaces=(lambda: services.workspaces) if is_live else None,
        channels=(lambda: services.channels) if is_sending else None,
        read_file=lambda name: (APP_ROOT / name).read_bytes(),
    )
    if made := vars(services).get("workspaces"):
        made.close()


class NobodyAsked:
    """Stands for a LiveCheck where nobody is to be asked, and finds nothing."""

    notes: tuple[str, ...] = ()

    def look(self, *_: object) -> None:
        """Find nothing."""


def _show(checked: Checked, text: str | Mapping[str, str], form: Format) -> None:
    """Print the findings in a form."""
    match form:
        case Format.JSON:
            data = asdict(checked)
            for finding in data["findings"]:
                finding["file"] = finding["file"] or checked.source
            typer.echo(json.dumps(data, ensure_ascii=False, indent=2))
        case Format.SARIF:
            log = sarif(checked.source, checked.findings, checked.notes)
            typer.echo(json.dumps(log, ensure_ascii=False, indent=2))
        case Format.GITHUB:
            for line in github_lines(checked.source, checked.findings):
                typer.echo(line)
            for note in checked.notes:
                typer.echo(f"note: {note}")
            typer.echo(checked.summary)
        case Format.TEXT:
            _print(checked, {"": text} if isinstance(text, str) else text)


def _files_in(folder: str) -> tuple[str, ...]:
    """Return the paths of the app's files below one of its folders."""
    from shared.base.settings import APP_ROOT

    files = (path for path in (APP_ROOT / folder).rglob("*") if path.is_file())
    return tuple(path.relative_to(APP_ROOT).as_posix() for path in islice(files, _FILES_MAX))


#: The most files that are searched for one that was meant.
_FILES_MAX = 500


def _find_job_faults(name: str, inputs: Collection[str]) -> tuple[str, ...]:
    # It imports azure-ai-ml, which takes two seconds.
    from shared.adapters.aml.job_files import find_job_faults
    from shared.base.settings import APP_ROOT

    return find_job_faults(APP_ROOT / name, inputs)


def _print(checked: Checked, texts: Mapping[str, str]) -> None:
    """Print the findings in files, of which the texts are given by name."""
    from rich.text import Text

    lines = {name: text.split("\n") for name, text in texts.items()}
    wide = min(_EXCERPT, terminal_width() - _NUMBER - 2)
    for finding in checked.findings:
        source = finding.file or checked.source
        print_lines(_told(finding, source, lines[finding.file], wide))
    print_lines(f"note: {note}" for note in checked.notes)
    style = "bold red" if checked.count("error") else "bold green"
    print_lines([Text(checked.summary, style=style)])


def _excerpt(line: str, column: int | None, wide: int) -> tuple[str, int | None]:
    """Return what is shown of a line, and where in that the column is, from 0.

    Of an address nothing is shown but its scheme: most that belong to channels hold a secret.
    """
    at = (column or 1) - 1
    # A secret that is cut in two looks like none, so secrets are removed before the cut.
    first = max(0, at - _AROUND)
    hidden = _ADDRESS.sub(_dotted, line[first : at + _AROUND])
    front, back = visible(hidden[: at - first]), visible(hidden[at - first :])
    if front + back != visible(hidden):  # a secret begins in front of the column
        front, back, column = visible(hidden), "", None
    start = max(0, len(front) - wide // 2) if len(front + back) > wide else 0
    shown = (front + back)[start : start + wide]
    before = "…" if first or start else ""
    after = "…" if at + _AROUND < len(line) or start + wide < len(front + back) else ""
    return f"{before}{shown}{after}", None if column is None else len(front) - start + len(before)


def _dotted(address: re.Match[str]) -> str:
    return address[1] + "•" * len(address[2])


def _told(finding: "Finding", source: str, lines: list[str], wide: int) -> "Iterator[Text]":
    """Yield the lines of a finding: its place, its message, the line of the file, and a hint."""
    from rich.text import Text

    style = "red" if finding.severity == "error" else "yellow"
    column = f":{finding.column}" if finding.column else ""
    place = Text.assemble((f"{source}:{finding.line}{column}", "bold"), " ")
    place.append(str(finding.severity), style)
    if finding.reaction:
        place.append(f" in reaction '{finding.reaction}'")
    yield place
    for line in finding.message.split("\n"):
        yield Text(f"  {line}")
    if finding.line <= len(lines) and lines[finding.line - 1].strip():
        shown, at = _excerpt(lines[finding.line - 1], finding.column, wide)
        yield Text(f"{finding.line:>{_NUMBER - 3}} | {shown}", "dim")
        if at is not None:
            yield Text(" " * (_NUMBER + at) + "^", style)
    if finding.hint:
        yield Text(f"  {finding.hint}", "cyan")
    yield Text()
