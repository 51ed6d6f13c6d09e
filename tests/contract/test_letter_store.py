"""The contract of the store of letters, on the twin's tables and blobs and on Azure's."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.base.ports import Blobs, RowChanged, Tables
from shared.journal.letter_store import LetterStore
from shared.journal.letters import CONTAINER, Letter, LetterStatus

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHORT = '{"id": "7", "subject": "Größe 🚂"}'
LONG = '{"id": "7", "subject": "' + "ö" * 20_000 + '"}'


@pytest.fixture
def store(tables: Tables, blobs: Blobs) -> LetterStore:
    return LetterStore(tables=tables, blobs=blobs)


def make_letter(body: str = SHORT, **values: object) -> Letter:
    usual = Letter(
        id=uuid.uuid4().hex,
        status=LetterStatus.WAITING,
        reaction="deploy",
        code="workspace.busy",
        reason="another operation runs",
        hint="",
        attempt=1,
        turn=1,
        due_at=NOW,
        created_at=NOW - timedelta(hours=1),
        about="ModelRegistered churn:1",
        body=body,
        traceparent="",
        untold={"team": 0, "ops": 2},
    )
    return replace(usual, **values)  # type: ignore[arg-type]


def add(store: LetterStore, letter: Letter) -> Letter:
    """Write a new letter, and return it as it is kept."""
    kept, is_written = store.change(letter.id, lambda known: letter if known is None else None)
    assert is_written
    assert kept is not None
    return kept


@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
def test_a_letter_comes_back_with_its_body(store: LetterStore, body: str) -> None:
    letter = make_letter(body)
    kept = add(store, letter)
    assert kept == replace(letter, in_blob=body is LONG, etag=kept.etag)
    assert store.get(letter.id) == kept
    assert store.get("0" * 32) is None


def test_a_list_of_letters_leaves_bodies_in_blobs_unread(
    store: LetterStore, tables: Tables
) -> None:
    for kept in (add(store, make_letter(SHORT)), add(store, make_letter(LONG))):
        (listed,) = store.find(prefix=kept.id[:12])
        assert listed.is_read == (kept.body is SHORT)
        closed = store.save(replace(listed, status=LetterStatus.CLOSED), listed)
        found = store.get(kept.id)
        assert found is not None
        assert found.body == kept.body, "a letter that is saved without its body keeps it"
        assert found.etag == closed.etag


def test_letters_are_found_by_their_columns(store: LetterStore) -> None:
    waiting, parked = (
        add(store, make_letter(reason=uuid.uuid4().hex, status=status, untold=untold))
        for status, untold in ((LetterStatus.WAITING, {}), (LetterStatus.PARKED, {"team": 0}))
    )
    both = {waiting.id, parked.id}

    def ours(equals: dict[str, str | bool]) -> set[str]:
        return {letter.id for letter in store.find(equals)} & both

    assert ours({"status": "waiting"}) == {waiting.id}
    assert ours({"is_untold": True}) == {parked.id}
    late = NOW + timedelta(seconds=1)
    assert {letter.id for letter in store.find(before=("due_at", late))} >= both
    assert not {letter.id for letter in store.find(before=("due_at", NOW))} & both


def test_a_letter_is_saved_and_removed_only_as_it_was_read(
    store: LetterStore, blobs: Blobs
) -> None:
    first = add(store, make_letter(LONG))
    second = store.save(replace(first, turn=2), first)
    with pytest.raises(RowChanged):
        store.save(replace(first, turn=3), first)
    store.remove(first)
    assert store.get(first.id) == second
    store.remove(second)
    assert store.get(first.id) is None
    assert blobs.get(CONTAINER, first.id) is None


def test_a_change_sees_the_letter_as_it_is_now_with_its_body(store: LetterStore) -> None:
    first = add(store, make_letter(LONG))
    store.save(replace(first, turn=2), first)
    seen: list[Letter] = []

    def change(known: Letter | None) -> Letter | None:
        assert known is not None
        seen.append(known)
        return replace(known, turn=known.turn + 1, body=SHORT)

    kept, is_written = store.change(first.id, change, known=first)
    assert is_written
    assert [(letter.turn, letter.body) for letter in seen] == [(1, LONG), (2, LONG)]
    assert kept is not None
    assert (kept.turn, kept.body, kept.in_blob) == (3, SHORT, False)
    assert store.get(first.id) == kept
