"""`python -m demo.pictures`: play the canaries of the demo, and draw docs/pictures from that run.

Nothing in the pictures is made up: one is the demo's screen, the other is the output of a command
on the running app. Ids and times differ from run to run.
"""

import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from threading import Event, Thread

from rich.console import Console
from rich.text import Text

from demo.canary import bad_canary, good_canary
from demo.play import Play
from demo.screen import Screen
from demo.show import perform
from demo.stage import APP_ROOT
from demo.stories import STORIES
from shared.rollouts.state.measurement import GateOutcome
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout

FOLDER = APP_ROOT / "docs" / "pictures"
_WIDTH = 100
#: Columns that stay free at the right, for readers whose fonts are wider.
_MARGIN = 4
#: The hold at half of the traffic, in the strategy `careful` of demo/reactions.yaml.
_MIDDLE = 4
_PAUSE = 0.5
_SHOWN = frozenset(
    {"scientist", "deployment", "probing", "shifting", "holding", "gate", "gate failed"}
    | {"rolling-back", "keeping", "team", "checked", "the record", "customers"}
)
_FONTS = "Menlo, Consolas, 'DejaVu Sans Mono', monospace"


class RecordingScreen(Screen):
    """A screen that draws the chapter of the bad canary, up to what an operator does in it.

    Left out are steps that say nothing of the canary, looks at gates that had too little to decide,
    and all but the first line of a message: the picture would be three times as long.
    """

    def __init__(self) -> None:
        super().__init__(Console(highlight=False))
        self._recorded = _recording()
        self._picture = Screen(self._recorded)

    def chapter(self, title: str, text: str = "") -> None:
        """Begin a chapter, and a picture."""
        super().chapter(title, text)
        self._recorded.export_text(clear=True)
        self._picture.chapter(title, text)

    def line(self, label: str, text: str, *, at: datetime | None = None) -> None:
        """Show that something happened; write the picture before an operator does something."""
        super().line(label, text, at=at)
        if label == "operator":
            write("bad-canary", self._recorded, "make demo")
        if label in _SHOWN and not text.startswith(("no data:", "too few:")):
            self._picture.line(label, text, at=at)

    def quote(self, text: str) -> None:
        """Show somebody else's words; in the picture, the first line of them."""
        super().quote(text)
        self._picture.quote(text.partition("\n")[0])


def _recording() -> Console:
    """Return a console that prints nowhere, and remembers what was printed."""
    return Console(
        width=_WIDTH,
        record=True,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )


def write(name: str, recorded: Console, title: str) -> None:
    """Write what a console has shown as an SVG that loads nothing."""
    recorded.width = _WIDTH + _MARGIN
    drawing = recorded.export_svg(title=title, clear=False, unique_id=name)
    drawing = re.sub(r"@font-face \{.*?\}\s*", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"font-family: [^;]+;", f"font-family: {_FONTS};", drawing)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(drawing, encoding="utf-8")


def watched_canary(play: Play) -> str:
    """Tell the story of the good canary; draw its rollout while it holds at half of the traffic."""
    is_over = Event()
    watcher = Thread(target=_draw_middle, args=(play, is_over), name="watcher")
    watcher.start()
    try:
        return good_canary(play)
    finally:
        is_over.set()
        watcher.join()


def _draw_middle(play: Play, is_over: Event) -> None:
    while not is_over.wait(_PAUSE):
        for rollout in play.rollouts_of("6"):
            if _is_in_the_middle(play, rollout):
                _draw_rollout(play, rollout)
                return


def _is_in_the_middle(play: Play, rollout: Rollout) -> bool:
    looks = play.records.measured(rollout)
    passed = [each for each in looks if each.outcome is GateOutcome.PASS]
    at_half = any(each.step == _MIDDLE for each in passed)
    return rollout.phase is Phase.HOLDING and rollout.step == _MIDDLE and at_half


def _draw_rollout(play: Play, rollout: Rollout) -> None:
    command = ["rollouts", "show", rollout.id[:8]]
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=APP_ROOT,
        env={**os.environ, **play.settings, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)},
        capture_output=True,
        text=True,
        check=True,
    )
    console = _recording()
    console.print(Text.from_ansi(done.stdout), soft_wrap=True)
    write("rollout-in-the-middle", console, f"signalbox {' '.join(command)}")


def main() -> int:
    """Play what the canaries need, and the canaries; return the exit status of the show."""
    first, second, *_ = STORIES
    canary = next(story for story in STORIES if story.tell is good_canary)
    bad = next(story for story in STORIES if story.tell is bad_canary)
    stories = (first, second, replace(canary, tell=watched_canary), bad)
    return perform(stories, once=True, screen=RecordingScreen())


if __name__ == "__main__":
    sys.exit(main())
