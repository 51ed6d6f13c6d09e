"""Where everything is while the demo keeps running, for people and for other programs."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from demo.play import Play
from demo.stage import APP_ROOT, NEWS_TOPIC

#: The app's settings, as a shell reads them.
_FILE = APP_ROOT / ".sandbox" / "demo.env"


@contextmanager
def settings_file(settings: Mapping[str, str]) -> Iterator[None]:
    """Keep the app's settings in a file inside the block."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    _FILE.parent.mkdir(exist_ok=True)
    _FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        _FILE.unlink(missing_ok=True)


def written_settings() -> dict[str, str]:
    """Return the settings of the demo that runs; FileNotFoundError if none does."""
    words = shlex.split(_FILE.read_text(encoding="utf-8"))
    pairs = (word.partition("=") for word in words if word != "export")
    return {name: value for name, _, value in pairs}


def running_settings() -> dict[str, str]:
    """Return the settings of the demo that runs; end the program, with a word, if none does."""
    try:
        return written_settings()
    except FileNotFoundError:
        typer.echo("No demo is running: start one with `make demo`.", err=True)
        raise typer.Exit(1) from None


def addresses(play: Play) -> Iterator[tuple[str, str]]:
    """Yield what there is to look at, and where."""
    stack, host = play.stack, play.stack.host
    yield "messages", "here, as `team`, with everything else that happens"
    yield "settings", f"{_FILE.relative_to(APP_ROOT)}: all of the app's, AzureWebJobsStorage too"
    yield "functions", f"curl '{host.url}/admin/functions?code={host.master_key}'"
    yield "webhook", host.event_grid_url("model_registered")
    grid = stack.event_grid
    yield "topic", f"{grid.url}/topics/{NEWS_TOPIC}/events: what `publish` sent to `{NEWS_TOPIC}`"
    yield "workspace", f"{stack.workspace.url}{stack.workspace_id}"
    if play.customer.url:
        yield "scoring", play.customer.url
    yield "its CA", str(stack.workspace.ca_path)
    yield (
        "failures",
        f"{stack.workspace.control_url}/control/rules: see sandbox/workspace/README.md",
    )


def to_try(play: Play) -> Iterator[tuple[str, str]]:
    """Yield commands to try in another terminal, each with its effect."""
    newest = max((_number(each.model.version) for each in play.watch.rollouts), default=0)
    register = ".venv/bin/python -m demo.register"
    yield f"{register} churn {newest + 1} --tag auc=0.92", "a new version goes live"
    yield (
        f"{register} churn {newest + 2} --tag signalbox_rollout=careful",
        "another one goes live in steps, by its gates; they need requests to judge by",
    )
    yield ".venv/bin/python -m demo.load churn", "customers ask the endpoint, until Ctrl-C"
    yield f"{register} churn {newest + 3} --no-deploy", "nothing happens, and you see why"
    yield (
        f"{register} fraud 1 --tag signalbox_instance_type=Standard_NC6",
        "the tag asks for an instance type that the rules do not allow",
    )
    rules = play.settings["SIGNALBOX_REACTIONS"]
    yield f"$EDITOR {rules}", "the app reads the rules again when the file changes"
    yield _manage("letters list"), "the reactions that could not be finished"
    yield _manage("rollouts list --all"), "the rollouts; `rollouts show ID` draws one"
    yield _manage("loops list"), "the watch over monitors, from drift to a better model"
    for loop in play.watch.loops:
        # Loops of one reaction share the first half of their ids.
        yield _manage(f"loops show {loop.id[16:24]}"), f"what came of {loop.monitor}"


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _manage(command: str) -> str:
    return f"(. {_FILE.relative_to(APP_ROOT)}; .venv/bin/signalbox {command})"
