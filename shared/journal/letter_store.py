"""Where letters are kept: a row for each, and a blob for a body that is too long for a row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from shared.base.documents import AsText, ColumnForm, Documents, Kept, RowAddress
from shared.base.ports import Blobs, Tables, Value
from shared.journal.bodies import Bodies, is_long
from shared.journal.letters import CONTAINER, TABLE, Letter

_PARTITION_LENGTH = 2
_TEXT_MAX = 4_000


def _read_untold(text: str) -> dict[str, int]:
    pairs = (item.rpartition(":") for item in text.split())
    return {channel: int(attempt) for channel, _, attempt in pairs}


_UNTOLD = AsText(
    write=lambda untold: " ".join(f"{channel}:{attempt}" for channel, attempt in untold.items()),
    read=_read_untold,
)


def _columns(letter: Letter) -> Mapping[str, Value]:
    return {
        "body": "" if letter.in_blob else letter.body,
        "is_untold": bool(letter.untold),
    }


_FORM = ColumnForm(
    Letter,
    _columns,
    texts={"untold": _UNTOLD},
    row_key="id",
    unkept=("is_again", "etag"),
    most=_TEXT_MAX,
)


class LetterStore:
    """Letters in a table, and their long bodies in blobs."""

    def __init__(self, *, tables: Tables, blobs: Blobs) -> None:
        self._letters = Documents(tables, TABLE, _FORM)
        self._bodies = Bodies(blobs, CONTAINER)

    def get(self, letter_id: str) -> Letter | None:
        """Return the letter with its body, or None."""
        kept = self._letters.get(_address(letter_id))
        return None if kept is None else self._with_body(_letter_of(kept))

    def find(
        self,
        equals: Mapping[str, Value] | None = None,
        *,
        prefix: str = "",
        before: tuple[str, datetime] | None = None,
    ) -> Iterator[Letter]:
        """Yield the letters with such columns and such an id; bodies in blobs are not read.

        With a prefix of two digits or more only a 256th of the table is read.
        """
        partition = prefix[:_PARTITION_LENGTH] if len(prefix) >= _PARTITION_LENGTH else None
        found = self._letters.find(partition=partition, equals=equals, before=before)
        return (letter for letter in map(_letter_of, found) if letter.id.startswith(prefix))

    def save(self, letter: Letter, known: Letter) -> Letter:
        """Write the letter if it has not changed since it was `known`.

        Raises: RowChanged.
        """
        at = _address(letter.id)
        return _letter_of(self._letters.save(at, self._in_row(letter, known), known.etag))

    def change(
        self,
        letter_id: str,
        change: Callable[[Letter | None], Letter | None],
        *,
        known: Letter | None = None,
    ) -> tuple[Letter | None, bool]:
        """Change a letter; return it as it is afterwards, and whether it was written.

        See `Documents.change`.
        """

        def in_row(found: Letter | None) -> Letter | None:
            before = None if found is None else self._with_body(found)
            after = change(before)
            return None if after is None else self._in_row(after, before)

        at = _address(letter_id)
        kept = None if known is None else Kept(at=at, value=known, etag=known.etag)
        changed = self._letters.change(at, in_row, known=kept)
        after = None if changed.after is None else _letter_of(changed.after)
        return after, changed.saved is not None

    def remove(self, letter: Letter) -> None:
        """Delete a letter and its body, unless it has changed since it was read."""
        kept = Kept(at=_address(letter.id), value=letter, etag=letter.etag)
        if self._letters.remove(kept):
            self._bodies.remove(letter.id)

    def _with_body(self, letter: Letter) -> Letter:
        if letter.is_read:
            return letter
        return replace(letter, body=self._bodies.get(letter.id))

    def _in_row(self, letter: Letter, known: Letter | None) -> Letter:
        """Return the letter for its row. Its blob is written first: no row names a missing one."""
        if not letter.is_read:
            return letter
        in_blob = is_long(letter.body)
        if in_blob and (known is None or known.body != letter.body):
            self._bodies.put(letter.id, letter.body)
        return replace(letter, in_blob=in_blob)


def _letter_of(kept: Kept[Letter]) -> Letter:
    return replace(kept.value, etag=kept.etag)


def _address(letter_id: str) -> RowAddress:
    return letter_id[:_PARTITION_LENGTH], letter_id
