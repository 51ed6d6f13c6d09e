"""Typed documents in table rows: read, written on a condition, listed and changed.

A document is a value of a frozen type. `JsonForm` keeps it as one JSON text, which may take several
properties, beside the columns that rows are found by. `ColumnForm` keeps each field in a column.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import batched, count, takewhile
from typing import Any, Protocol, get_type_hints

from shared.base.errors import StorageContended
from shared.base.outgoing import Clean, for_row
from shared.base.ports import BATCH_MAX, Row, RowChanged, RowExists, Tables, Value
from shared.base.redact import redact

#: Of workers that write one row at the same moment, one succeeds and the others try again.
TRIES_MAX = 30
#: A property holds 32,000 UTF-16 units, and a character is two at the most.
_PART_MAX = 16_000
#: A row holds 1 MiB; the rest is for names and other properties.
_ROW_MAX = 960 * 1024

#: The partition and the row key of a document.
type RowAddress = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept[T]:
    """A document as it was read. A save must present `etag`: "" where there is no row yet."""

    at: RowAddress
    value: T
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed[T]:
    """A document before and after a change; None where there is no row."""

    before: Kept[T] | None
    after: Kept[T] | None

    @property
    def saved(self) -> Kept[T] | None:
        """The document as it was written; None where it was left."""
        return None if self.after is self.before else self.after


class Form[T](Protocol):
    """How a document is kept in the properties of a row."""

    def write(self, value: T) -> Mapping[str, Value]:
        """Return the properties of a document's row."""
        ...

    def read(self, row: Row) -> T:
        """Return the document of a row."""
        ...


class Documents[T]:
    """The documents of one table and form. Each call is one request, but for long lists.

    Every method may raise StorageUnavailable and StorageDenied.
    """

    def __init__(self, tables: Tables, table: str, form: Form[T]) -> None:
        self._tables = tables
        self._table = table
        self._form = form

    def get(self, at: RowAddress) -> Kept[T] | None:
        """Return the document, or None."""
        row = self._tables.get(self._table, *at)
        return None if row is None else self._kept(row)

    def add(self, at: RowAddress, value: T) -> Kept[T]:
        """Write a new document.

        Raises: RowExists.
        """
        etag = self._tables.insert(self._table, *at, self._form.write(value))
        return Kept(at=at, value=value, etag=etag)

    def save(self, at: RowAddress, value: T, etag: str) -> Kept[T]:
        """Write the document if nobody has since it was read; with no ETag, if it is new.

        Raises: RowChanged.
        """
        if not etag:
            try:
                return self.add(at, value)
            except RowExists as error:
                raise RowChanged(str(error)) from None
        new = self._tables.replace(self._table, *at, self._form.write(value), etag=etag)
        return Kept(at=at, value=value, etag=new)

    def change(
        self,
        at: RowAddress,
        change: Callable[[T | None], T | None],
        *,
        known: Kept[T] | None = None,
        is_new: bool = False,
    ) -> Changed[T]:
        """Read, change and save a document; do it again if another worker was faster.

        `change` gets None where there is no row, and returns None to leave the row as it is. It may
        be called several times. The first read is left out where the document is `known`, or where
        `is_new` says that there is probably no row.

        Raises: StorageContended when others are faster each time, and what `change` raises.
        """
        is_read = known is not None or is_new

        def attempt() -> Changed[T]:
            nonlocal is_read
            kept, is_read = known if is_read else self.get(at), False
            value = change(None if kept is None else kept.value)
            if value is None:
                return Changed(before=kept, after=kept)
            saved = self.save(at, value, "" if kept is None else kept.etag)
            return Changed(before=kept, after=saved)

        return again_if_changed(attempt)

    def remove(self, kept: Kept[T]) -> bool:
        """Delete the document; return False, and leave it, if it has changed since it was read."""
        try:
            self._tables.delete(self._table, *kept.at, etag=kept.etag)
        except RowChanged:
            return False
        return True

    def remove_partition(self, partition: str) -> None:
        """Delete the documents of a partition."""
        rows = self._tables.query(self._table, partition=partition)
        for batch in batched(rows, BATCH_MAX, strict=False):
            self._tables.delete_all(self._table, batch)

    def find(
        self,
        *,
        partition: str | None = None,
        equals: Mapping[str, Value] | None = None,
        before: tuple[str, datetime] | None = None,
        key_from: str | None = None,
        key_to: str | None = None,
        begins: tuple[str, str] | None = None,
        columns: Collection[str] = (),
    ) -> Iterator[Kept[T]]:
        """Yield the documents with such columns, of a partition or of all: see `Tables.query`.

        With `columns`, which a ColumnForm knows, the other fields have their defaults.
        """
        rows = self._tables.query(
            self._table,
            partition=partition,
            equals=equals,
            before=before,
            key_from=key_from,
            key_to=key_to,
            begins=begins,
            columns=columns,
        )
        return map(self._kept, rows)

    def _kept(self, row: Row) -> Kept[T]:
        return Kept(at=(row.partition, row.key), value=self._form.read(row), etag=row.etag)


def again_if_changed[R](attempt: Callable[[], R]) -> R:
    """Call `attempt`, which reads rows and writes them; call it again if one changed in between.

    Raises: StorageContended when that happens each time, and what `attempt` raises.
    """
    for _ in range(TRIES_MAX):
        try:
            return attempt()
        except RowChanged as error:
            row = str(error)
    raise StorageContended(f"too many workers write this row at once: {row}")


class JsonForm[T]:
    """A document as one JSON text, without the fields that have their defaults."""

    def __init__(self, kind: type[T], columns: Callable[[T], Mapping[str, Value]]) -> None:
        """Keep values of a type that pydantic knows, beside the columns that rows are found by."""
        self._kind: Any = kind
        self._columns = columns

    def write(self, value: T) -> dict[str, Value]:
        """Return the columns, and the text as `document`, `document_1`, and so on."""
        text = for_row(self._text(value))  # a secret may lie across two of them
        starts = range(0, len(text), _PART_MAX)
        parts = {_part(n): Clean(text[start : start + _PART_MAX]) for n, start in enumerate(starts)}
        return {**self._columns(value), **parts}

    def read(self, row: Row) -> T:
        """Return the document of a row."""
        names = takewhile(lambda name: name in row.values, map(_part, count()))
        text = "".join(str(row.values[name]) for name in names)
        value: T = _adapter(self._kind).validate_json(text)
        return value

    def has_room(self, value: T) -> bool:
        """Return whether a row has room for a document.

        Azure counts two bytes for each UTF-16 unit, Azurite those of the JSON that is sent.
        Sources: "How the size of an entity is calculated in Windows Azure table storage" (MSDN,
        2011), and Azurite's TableHandler.
        """
        text = self._text(value)
        stored = len(text.encode("utf-16-le", "surrogatepass"))
        return max(stored, len(json.dumps(text))) <= _ROW_MAX

    def _text(self, value: T) -> str:
        text: bytes = _adapter(self._kind).dump_json(value, exclude_defaults=True)
        return text.decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class AsText:
    """How a field that no column holds as it is becomes text, and is read from it."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


class ColumnForm[T]:
    """A frozen dataclass with a column for each field, of the field's name."""

    def __init__(
        self,
        kind: type[T],
        columns: Callable[[T], Mapping[str, Value]] = lambda _: {},
        *,
        texts: Mapping[str, AsText] | None = None,
        row_key: str = "",
        unkept: Collection[str] = (),
        most: int | None = None,
    ) -> None:
        """Keep values of a type in columns; `columns` gives others, which take precedence.

        The field `row_key` is the key of the row, and no column; those in `unkept` are not written.
        Strings are cut to `most` characters.
        """
        self._kind: Any = kind
        self._columns = columns
        self._texts = texts or {}
        self._row_key = row_key
        self._unkept = frozenset({row_key, *unkept})
        self._most = most

    def write(self, value: T) -> dict[str, Value]:
        """Return the columns of a document. A field that is None has none."""
        found = ((name, getattr(value, name)) for name in self._names())
        values = {name: self._column(name, field) for name, field in found if field is not None}
        return {**values, **self._columns(value)}

    def read(self, row: Row) -> T:
        """Return the document of a row; a field without a column has its default."""
        names = [name for name in self._names() if name in row.values]
        found = {name: self._field(name, row.values[name]) for name in names}
        if self._row_key:
            found[self._row_key] = row.key
        value: T = self._kind(**found)
        return value

    def _names(self) -> list[str]:
        return [name for name in _kinds(self._kind) if name not in self._unkept]

    def _column(self, name: str, field: Any) -> Value:
        if name in self._texts:
            return self._texts[name].write(field)
        if isinstance(field, str):
            return str(field) if self._most is None else redact(field, most=self._most)
        column: Value = field
        return column

    def _field(self, name: str, column: Value) -> Any:
        if name in self._texts:
            return self._texts[name].read(str(column))
        kind, field = _kinds(self._kind)[name], column
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            field = kind(str(column))
        if not isinstance(field, kind):
            raise TypeError(f"column {name} of {self._kind.__name__} is a {type(column).__name__}")
        return field


@cache
def _kinds(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by their names."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def _adapter(kind: Any) -> Any:
    """Return pydantic's reader of a type, made on first use because that takes long."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _part(number: int) -> str:
    return f"document_{number}" if number else "document"
