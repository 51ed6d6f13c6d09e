"""The show: everything is set up, the stories are told, and what there is keeps running."""

import logging
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from demo.addresses import addresses, settings_file, to_try
from demo.customer import Customer
from demo.drift import prepare_training
from demo.play import NotAsTold, Play
from demo.rules import Rules
from demo.screen import Row, Screen
from demo.stage import (
    APP_ROOT,
    FUNCTIONS,
    NEWS_TOPIC,
    OWN_RULES,
    RULES,
    Channel,
    app_settings,
)
from demo.stories import STORIES, Story
from demo.watch import Records, Watch
from demo.workspace import Workspace, import_early
from sandbox.azurite import AzuriteFailed, AzuriteMissing
from sandbox.functions_host.errors import HostError
from sandbox.stack import Pace, Stack

INTERRUPTED = 130
_LOG_LINES = 12
#: Emulated seconds in a real one.
_SPEED = 60
#: Seconds by which metrics are late; a minute of them is a second here.
_LAG = 1
#: How long the workspace's operations take, in emulated seconds.
_DURATIONS = {"endpoint_*": 75, "deployment_create": 210, "deployment_delete": 60}
_TITLE = "Signalbox: what happens when a model is registered, and when its data drifts"
_ABOUT = (
    "Everything runs on this machine. Real: the Functions worker with the app, the storage"
    " (Azurite) and the azure-ai-ml client. Stand-ins: Event Grid, the Functions host and the"
    f" workspace, whose clock runs {_SPEED} times as fast; its metrics are by the second."
)


def perform(
    stories: Sequence[Story], *, once: bool, screen: Screen | None = None, own_rules: bool = False
) -> int:
    """Set everything up, tell the stories, and keep it running; return the exit status.

    With `own_rules` the app has a copy of the rules, which people may change while it runs.

    It is 0 if every story ended as told, 1 otherwise, and 130 if it was interrupted before that.
    """
    screen = screen or Screen()
    status = INTERRUPTED
    try:
        with ExitStack() as parts, _undisturbed_end():
            screen.title(_TITLE, _ABOUT)
            play = _set_up(parts, screen, own_rules=own_rules)
            if not stories:  # the rules retrain churn, and no story prepares it
                prepare_training(play)
            with screen.footer(lambda: _footer(play)):
                rows = list(_tell(stories, play))
                status = 0 if all(row.good for row in rows) else 1
                if rows:
                    screen.summary(rows, _verdict(play, rows))
                if not once:
                    _keep_running(play)
    except (AzuriteMissing, AzuriteFailed, HostError) as error:
        screen.alarm("The sandbox does not start", str(error).splitlines())
        return 1
    except KeyboardInterrupt:
        screen.say("\nStopped; nothing is left running.", style="dim")
    return status


@contextmanager
def _undisturbed_end() -> Iterator[None]:
    """Let Ctrl-C or SIGTERM end the block, and nothing disturb the cleaning up after it."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _set_up(parts: ExitStack, screen: Screen, *, own_rules: bool) -> Play:
    # Proxies of the machine's can't reach what listens on it only.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1"
    log = _keep_log()
    screen.chapter("Setting up")
    import_early()
    stack = parts.enter_context(Stack(Pace(workspace=_SPEED, metrics=_LAG)))
    screen.line("sandbox", "storage, Event Grid and the workspace are up")
    for operation, seconds in _DURATIONS.items():
        stack.control.provisioning(seconds, operation)
    channel = parts.enter_context(Channel())
    path = _own_rules() if own_rules else RULES
    shown = path.relative_to(APP_ROOT)
    settings = stack.app_settings() | app_settings(
        stack,
        SIGNALBOX_REACTIONS=str(shown),
        SIGNALBOX_CHANNEL_TEAM=channel.url,
        SIGNALBOX_TOPIC_NEWS=stack.event_grid.add_topic(NEWS_TOPIC).secure_endpoint,
        SIGNALBOX_METRICS_GRAIN_SECONDS="1",
    )
    host = stack.start_host(APP_ROOT, settings, timers=True, log=log.append)
    screen.line("app", f"{len(host.functions())} functions are up; rules: {shown}")
    stack.subscribe(FUNCTIONS)
    screen.line("sandbox", f"Event Grid delivers {len(FUNCTIONS)} types of event to the app")
    workspace = Workspace(settings)
    workspace.connect()
    screen.line("client", "azure-ai-ml is signed in to the workspace")
    customer = parts.enter_context(Customer(ca_path=stack.workspace.ca_path))
    records = Records(settings)
    rules = Rules(path, APP_ROOT, settings) if own_rules else None
    return Play(
        stack=stack,
        channel=channel,
        customer=customer,
        workspace=workspace,
        records=records,
        watch=Watch(stack, channel, customer, records, screen, rules),
        screen=screen,
        settings=settings,
        log=log,
    )


def _own_rules() -> Path:
    """Return the copy of the rules that people change; one from before stays as it is."""
    OWN_RULES.parent.mkdir(exist_ok=True)
    if not OWN_RULES.exists():
        OWN_RULES.write_text(RULES.read_text(encoding="utf-8"), encoding="utf-8")
    return OWN_RULES


def _keep_log() -> deque[str]:
    """Return where the app's log lines go, and the sandbox's warnings: not on the screen."""
    lines: deque[str] = deque(maxlen=_LOG_LINES)

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.name}: {record.getMessage()}")

    logging.basicConfig(level=logging.WARNING, handlers=[Keep()])
    return lines


def _tell(stories: Sequence[Story], play: Play) -> Iterator[Row]:
    """Tell the stories in turn, up to one that does not end as told: the others build on it."""
    failed = False
    for story in stories:
        if failed:
            yield _row(story, "not told", good=False)
            continue
        play.screen.chapter(story.title, story.opening)
        began_at = time.monotonic()
        try:
            happened = story.tell(play)
        except NotAsTold as error:
            happened, failed = str(error), True
            play.screen.alarm(f"Not as told: {error}", play.seen())
        except Exception as error:  # noqa: BLE001 - whatever breaks a story, it is told
            happened, failed = f"broke off: {type(error).__name__}: {error}", True
            play.screen.alarm("The story broke off", traceback.format_exc().splitlines())
            play.screen.alarm("What was seen", play.seen())
        seconds = time.monotonic() - began_at
        yield _row(story, happened, good=not failed, seconds=seconds)


def _row(story: Story, happened: str, *, good: bool, seconds: float | None = None) -> Row:
    return Row(
        title=story.title, promise=story.promise, happened=happened, good=good, seconds=seconds
    )


def _verdict(play: Play, rows: Sequence[Row]) -> str:
    told = sum(row.good for row in rows)
    failed = len(play.customer.failures) + play.crowds.total() - play.crowds[200]
    asked = play.customer.answered + len(play.customer.failures) + play.crowds.total()
    excused = f", but for {play.excused} of a bad version" if play.excused else ""
    return (
        f"{told} of {len(rows)} stories ended as told; of {asked} scoring requests"
        f" {failed - play.excused} failed{excused}."
    )


def _footer(play: Play) -> str:
    customer = play.customer
    parts = [f"waiting for {play.waiting}" if play.waiting else ""]
    if customer.url:
        parts.append(f"{customer.answered} answered, {len(customer.failures)} failed")
    parts.append(play.watch.gates)
    return "  |  ".join(part for part in parts if part)


def _keep_running(play: Play) -> None:
    """Say where everything is, and show what happens, until it is interrupted."""
    with settings_file(play.settings):
        play.screen.chapter("It keeps running until you press Ctrl-C")
        for name, where in addresses(play):
            play.screen.entry(name, where)
        play.screen.say("\n   To try, in another terminal:", style="dim")
        for command, effect in to_try(play):
            play.screen.say(f"   {command}")
            play.screen.say(f"       {effect}", style="dim")
        play.screen.say()
        play.waiting = "news; Ctrl-C ends it"
        while True:
            play.watch.look()
            time.sleep(0.5)


def main(
    once: Annotated[bool, typer.Option(help="End after the last story.")] = False,
    play: Annotated[
        bool, typer.Option(help="Tell no stories: the app is yours from the first minute.")
    ] = False,
) -> None:
    """Play the app through on this machine, and keep it running until Ctrl-C."""
    raise typer.Exit(perform(() if play else STORIES, once=once, own_rules=play))
