"""The contract of typed documents, on the twin's tables and on Azure's."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Barrier, Thread

import pytest

from shared.base.documents import (
    TRIES_MAX,
    AsText,
    ColumnForm,
    Documents,
    Form,
    JsonForm,
    RowAddress,
    again_if_changed,
)
from shared.base.errors import Disposition, StorageContended, StorageUnavailable, failure_of
from shared.base.ports import RowChanged, RowExists, Tables

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
AT: RowAddress = ("part", "key")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kite:
    """A document with a field of each kind."""

    name: str
    colour: Colour = Colour.RED
    flights: int = 0
    weight: float = 0.5
    is_up: bool = False
    seen_at: datetime = NOW
    owner: str | None = None
    tails: tuple[str, ...] = ()


WORDS = AsText(write=" ".join, read=lambda text: tuple(text.split()))
FORMS: dict[str, Form[Kite]] = {
    "json": JsonForm(Kite, lambda kite: {"is_up": kite.is_up, "seen_at": kite.seen_at}),
    "columns": ColumnForm(Kite, texts={"tails": WORDS}),
}
PLAIN = Kite(name="Größe 🚂")
FULL = Kite(
    name="a token: no secret",
    colour=Colour.BLUE,
    flights=2**40,
    weight=1.25,
    is_up=True,
    seen_at=NOW + timedelta(microseconds=1),
    owner="ada",
    tails=("a", "b"),
)


@pytest.fixture(params=FORMS)
def kites(request: pytest.FixtureRequest, tables: Tables, name: str) -> Documents[Kite]:
    return Documents(tables, name, FORMS[request.param])


def flown(kite: Kite | None) -> Kite:
    """Return the kite after one more flight."""
    before = kite or PLAIN
    return replace(before, flights=before.flights + 1)


@pytest.mark.parametrize("kite", [PLAIN, FULL], ids=["defaults", "every field"])
def test_a_document_comes_back_as_it_was_added(kites: Documents[Kite], kite: Kite) -> None:
    assert kites.get(AT) is None
    kept = kites.add(AT, kite)
    assert (kept.at, kept.value) == (AT, kite)
    assert kites.get(AT) == kept
    assert list(kites.find()) == [kept]


def test_a_document_is_added_once(kites: Documents[Kite]) -> None:
    kept = kites.add(AT, PLAIN)
    with pytest.raises(RowExists):
        kites.add(AT, FULL)
    with pytest.raises(RowChanged):
        kites.save(AT, FULL, "")
    assert kites.get(AT) == kept


def test_a_document_is_saved_only_as_it_was_read(kites: Documents[Kite]) -> None:
    first = kites.save(AT, PLAIN, "")
    second = kites.save(AT, FULL, first.etag)
    with pytest.raises(RowChanged):
        kites.save(AT, PLAIN, first.etag)
    assert kites.get(AT) == second


def test_a_document_is_removed_only_as_it_was_read(kites: Documents[Kite]) -> None:
    first = kites.add(AT, PLAIN)
    second = kites.save(AT, FULL, first.etag)
    assert not kites.remove(first)
    assert kites.remove(second)
    assert not kites.remove(second)
    assert kites.get(AT) is None


def test_the_documents_of_a_partition_are_removed_together(kites: Documents[Kite]) -> None:
    for number in range(120):
        kites.add(("part", f"{number:03}"), PLAIN)
    other = kites.add(("other", "key"), PLAIN)
    kites.remove_partition("part")
    assert list(kites.find()) == [other]


def test_documents_are_found_by_their_columns(kites: Documents[Kite]) -> None:
    def add(partition: str, key: str, kite: Kite) -> RowAddress:
        return kites.add((partition, key), kite).at

    down = add("a", "down", PLAIN)
    up = add("a", "up", replace(PLAIN, is_up=True))
    early = add("b", "early", replace(PLAIN, is_up=True, seen_at=NOW - timedelta(hours=1)))
    assert {kept.at for kept in kites.find()} == {down, up, early}
    assert {kept.at for kept in kites.find(partition="a")} == {down, up}
    assert {kept.at for kept in kites.find(equals={"is_up": True})} == {up, early}
    assert {kept.at for kept in kites.find(before=("seen_at", NOW))} == {early}


def test_a_change_adds_the_document_or_changes_it(kites: Documents[Kite]) -> None:
    first = kites.change(AT, flown)
    assert first.before is None
    assert first.saved is not None
    second = kites.change(AT, flown)
    assert second.before == first.saved
    assert second.saved == kites.get(AT)
    assert second.saved is not None
    assert second.saved.value.flights == 2


def test_a_change_that_returns_none_leaves_the_row(kites: Documents[Kite]) -> None:
    assert kites.change(AT, lambda _: None).after is None
    assert kites.get(AT) is None
    kept = kites.add(AT, PLAIN)
    left = kites.change(AT, lambda _: None)
    assert (left.before, left.after, left.saved) == (kept, kept, None)
    assert kites.get(AT) == kept


@pytest.mark.parametrize("is_stale", [False, True], ids=["as it is", "changed since"])
def test_a_change_of_a_known_document_is_made_to_it_as_it_is_now(
    kites: Documents[Kite], is_stale: bool
) -> None:
    known = kites.add(AT, PLAIN)
    if is_stale:
        kites.change(AT, flown)
    saved = kites.change(AT, flown, known=known).saved
    assert saved is not None
    assert saved.value.flights == 1 + is_stale


@pytest.mark.parametrize("is_there", [False, True])
def test_a_change_of_what_is_taken_for_new_is_made_to_it_as_it_is(
    kites: Documents[Kite], is_there: bool
) -> None:
    if is_there:
        kites.add(AT, PLAIN)
    changed = kites.change(AT, flown, is_new=True)
    assert (changed.before is not None) == is_there
    assert kites.get(AT) == changed.saved


def test_many_changes_at_the_same_moment_are_all_made(kites: Documents[Kite]) -> None:
    barrier = Barrier(6, timeout=60)

    def fly() -> None:
        barrier.wait()
        for _ in range(5):
            kites.change(AT, flown)

    threads = [Thread(target=fly) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    kept = kites.get(AT)
    assert kept is not None
    assert kept.value.flights == 30


def test_a_change_that_others_always_forestall_ends_in_an_error_that_is_retried(
    kites: Documents[Kite],
) -> None:
    tries = []

    def forestalled(kite: Kite | None) -> Kite:
        tries.append(kite)
        etag = "" if kite is None else next(kites.find()).etag
        kites.save(AT, flown(kite), etag)
        return PLAIN

    with pytest.raises(StorageContended) as raised:
        kites.change(AT, forestalled)
    assert len(tries) == TRIES_MAX
    assert isinstance(raised.value, StorageUnavailable), "callers keep the message that they have"
    assert failure_of(raised.value).disposition is Disposition.RETRY


def test_what_a_change_raises_ends_it(kites: Documents[Kite]) -> None:
    def refuse(_: Kite | None) -> Kite:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kites.change(AT, refuse)


@pytest.mark.parametrize("lost", [0, 1, TRIES_MAX - 1, TRIES_MAX])
def test_what_reads_and_writes_is_done_again_a_number_of_times(lost: int) -> None:
    answers = iter([*[RowChanged("table: part/key")] * lost, "done"])

    def attempt() -> str:
        answer = next(answers)
        if isinstance(answer, RowChanged):
            raise answer
        return answer

    run: Callable[[], str] = lambda: again_if_changed(attempt)  # noqa: E731
    if lost < TRIES_MAX:
        assert run() == "done"
    else:
        with pytest.raises(StorageContended, match="part/key"):
            run()


def test_a_secret_is_in_no_row(tables: Tables, name: str) -> None:
    secret = "AccountKey=" + "k" * 86 + "=="
    for key, form in FORMS.items():
        kites = Documents(tables, name, form)
        kites.add(("part", key), replace(PLAIN, name=secret))
        kept = kites.get(("part", key))
        assert kept is not None
        assert "kkk" not in kept.value.name
