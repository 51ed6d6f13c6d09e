"""The sandbox's command lines take random values, whatever they begin with."""

import argparse
from pathlib import Path

import pytest

import sandbox
from sandbox.command_line import Parser


def parser() -> Parser:
    made = Parser()
    made.add_argument("url")
    made.add_argument("--key", "-k")
    made.add_argument("--compute", action="append")
    made.add_argument("--loud", action="store_true")
    return made


@pytest.mark.parametrize(
    "words",
    [
        ["u", "--key", "-x", "--loud"],
        ["--loud", "--key=-x", "u"],
        ["-k", "-x", "--loud", "u"],
        ["--key", "first", "u", "--loud", "--key", "-x"],
    ],
)
def test_a_value_may_begin_with_a_hyphen(words: list[str]) -> None:
    told = parser().parse_args(words)

    assert (told.url, told.key, told.loud, told.compute) == ("u", "-x", True, None)


def test_a_value_of_an_option_that_may_be_repeated_does_too() -> None:
    assert parser().parse_args(["u", "--compute", "-a", "--compute", "--b"]).compute == [
        "-a",
        "--b",
    ]


def test_an_option_without_its_value_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["u", "--key"])
    assert "--key" in capsys.readouterr().err


def test_every_command_of_the_sandbox_is_read_by_it() -> None:
    folder = Path(sandbox.__path__[0])
    own = folder / "command_line.py"
    others = (path for path in folder.rglob("*.py") if "node_modules" not in path.parts)
    made = [path for path in others if argparse.ArgumentParser.__name__ + "(" in path.read_text()]

    assert [path for path in made if path != own] == []
