"""Where everything is while the demo keeps running, for people and for other programs."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from demo.play import Play
from demo.stage import APP_ROOT

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


def addresses(play: Play) -> Iterator[tuple[str, str]]:
    """Yield what there is to look at, and where."""
    stack, host = play.stack, play.stack.host
    yield "messages", "here, as `team`, with everything else that happens"
    yield "settings", f"{_FILE.relative_to(APP_ROOT)}: all of the app's, AzureWebJobsStorage too"
    yield "functions", f"curl '{host.url}/admin/functions?code={host.master_key}'"
    yield "webhook", host.event_grid_url("model_registered")
    yield "workspace", f"{stack.workspace.url}{stack.workspace_id}"
    if play.customer.url:
        yield "scoring", play.customer.url
    yield "its CA", str(stack.workspace.ca_path)
    yield (
        "failures",
        f"{stack.workspace.control_url}/control/rules: see sandbox/workspace/README.md",
    )


def to_try(play: Play) -> Iterator[str]:
    """Yield what somebody may try, in another terminal."""
    yield ".venv/bin/python -m demo.register churn 8 --tag auc=0.92"
    yield ".venv/bin/python -m demo.register fraud 1 --tag signalbox_instance_type=Standard_NC6"
    yield _manage("letters list")
    yield _manage("rollouts list --all")
    yield _manage("loops list")
    for loop in play.watch.loops:
        # Loops of one reaction share the first half of their ids.
        yield _manage(f"loops show {loop.id[16:24]}")


def _manage(command: str) -> str:
    return f"(. {_FILE.relative_to(APP_ROOT)}; .venv/bin/signalbox {command})"
