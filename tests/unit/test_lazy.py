"""Nothing is made, nor imported, before somebody needs it."""

import subprocess
import sys
from threading import Barrier, Thread

import pytest

from shared.base.lazy import Lazy, once


def test_a_value_is_made_on_first_use_and_once() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    lazy = Lazy(make)
    assert (made, lazy.made) == ([], None)
    assert lazy() is lazy() is lazy.made
    assert len(made) == 1


def test_a_value_is_made_once_whichever_thread_comes_first() -> None:
    barrier, made, seen = Barrier(8, timeout=10), [], []

    def make() -> object:
        made.append(object())
        return made[-1]

    lazy = Lazy(make)

    def use() -> None:
        barrier.wait()
        seen.append(lazy())

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert seen == made * 8


def test_a_value_that_could_not_be_made_is_tried_again() -> None:
    answers = [RuntimeError("not yet"), "made"]

    def make() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    lazy = Lazy(make)
    with pytest.raises(RuntimeError):
        lazy()
    assert lazy() == "made"


def test_a_property_is_made_on_first_use_and_is_an_attribute_from_then_on() -> None:
    class Parts:
        @once
        def part(self) -> object:
            return object()

    one, other = Parts(), Parts()
    assert "part" not in vars(one)
    part = one.part
    assert (one.part, vars(one)["part"]) == (part, part)
    assert other.part is not part


def test_a_property_is_made_once_whichever_thread_comes_first() -> None:
    barrier, made, seen = Barrier(8, timeout=10), [], []

    class Parts:
        @once
        def part(self) -> object:
            made.append(object())
            return made[-1]

    parts = Parts()

    def use() -> None:
        barrier.wait()
        seen.append(parts.part)

    threads = [Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1
    assert seen == made * 8


def test_a_property_that_was_given_is_not_made() -> None:
    class Parts:
        @once
        def part(self) -> object:
            raise AssertionError("it was given")

    parts = Parts()
    vars(parts)["part"] = "given"
    assert parts.part == "given"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("twins.storage", ("azure", "httpx", "apprise", "requests")),
        ("adapters.channels", ("azure", "httpx", "apprise", "requests")),
        ("adapters.storage.account", ("azure.data", "azure.storage", "azure.identity", "httpx")),
        ("adapters.storage.tables", ("azure.storage", "azure.identity", "httpx", "apprise")),
        (
            "adapters.storage.queues",
            ("azure.data", "azure.storage.blob", "azure.identity", "httpx", "apprise"),
        ),
        (
            "adapters.storage.blobs",
            ("azure.data", "azure.storage.queue", "azure.identity", "httpx", "apprise"),
        ),
        (
            "adapters.aml.workspaces",
            ("azure.data", "azure.storage", "azure.identity", "azure.ai", "httpx"),
        ),
    ],
)
def test_importing_an_adapter_brings_only_what_it_needs(
    module: str, absent: tuple[str, ...]
) -> None:
    program = (
        f"import sys; import shared.{module}; "
        f"print([name for name in {absent!r} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
