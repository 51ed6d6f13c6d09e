"""The pictures of the pages load nothing, and the demo draws what it shows."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from demo import pictures

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


def shown(picture: Path) -> str:
    """Return the text of a picture."""
    text = "".join(ElementTree.fromstring(picture.read_bytes()).itertext())
    return text.replace("\xa0", " ")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_loads_nothing_and_a_page_shows_it(picture: Path) -> None:
    drawing = picture.read_text(encoding="utf-8")
    assert not re.search(r"@font-face|@import|url\((?!#)|href=|<image|<script", drawing)
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(picture.name in page.read_text(encoding="utf-8") for page in pages)


def test_the_screen_with_the_bad_canary_is_drawn_without_what_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    screen = pictures.RecordingScreen()
    screen.chapter("7. A canary", "before")
    screen.chapter("8. A bad one", "opening")
    screen.line("gate", "too few: 3 requests")
    screen.line("gate failed", "mean latency 101 ms")
    screen.line("team", "churn 7 was rolled back")
    screen.quote("Serving now: churn-v6\nmore of it")
    screen.line("operator", "signalbox rollouts show")
    text = shown(tmp_path / "bad-canary.svg")
    for part in ("8. A bad one", "opening", "mean latency 101 ms", "Serving now: churn-v6"):
        assert part in text
    for part in ("7. A canary", "too few", "more of it", "signalbox rollouts"):
        assert part not in text
