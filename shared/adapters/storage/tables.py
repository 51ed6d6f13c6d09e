"""Azure tables. One request per call: a table is created only when an insert finds it missing."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import (
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import (
    EdmType,
    EntityProperty,
    TableClient,
    TableEntity,
    TableServiceClient,
    TableTransactionError,
    UpdateMode,
)

from shared.adapters.storage.account import storage_errors
from shared.adapters.storage.limits import (
    after_prefix,
    check_batch,
    check_keys,
    check_storage_name,
    plain_value,
    plain_values,
)
from shared.base.errors import StorageUnavailable
from shared.base.lazy import Lazy
from shared.base.ports import Row, RowChanged, RowExists, Value


class AzureTables:
    """Tables of a storage account, safe to share between threads.

    Every method may raise StorageUnavailable, StorageDenied, and ValueError for values that tables
    can't hold.
    """

    def __init__(self, connect: Callable[[], TableServiceClient]) -> None:
        """Connect on first use."""
        self._service: Final = Lazy(connect)
        self._clients: Final[dict[str, TableClient]] = {}

    def insert(self, table: str, partition: str, key: str, values: Mapping[str, Value]) -> str:
        """Add a row and return its ETag; raise RowExists where there is one."""
        entity = _make_entity(partition, key, values)
        with storage_errors(f"inserting into table {table}", self._service):
            try:
                return self._create(table, entity)
            except ResourceNotFoundError:
                self._service().create_table_if_not_exists(table)
            return self._create(table, entity)

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, or None."""
        check_keys(partition, key)
        with storage_errors(f"reading table {table}", self._service):
            try:
                return _make_row(self._client(table).get_entity(partition, key))
            except ResourceNotFoundError:
                return None

    def replace(
        self, table: str, partition: str, key: str, values: Mapping[str, Value], *, etag: str
    ) -> str:
        """Replace the row if its ETag is still `etag` and return the new one, else RowChanged."""
        entity = _make_entity(partition, key, values)
        with storage_errors(f"replacing a row of table {table}", self._service):
            try:
                # Without both of the last two the SDK overwrites any row.
                return _etag(
                    self._client(table).update_entity(
                        entity,
                        UpdateMode.REPLACE,
                        etag=etag,
                        match_condition=MatchConditions.IfNotModified,
                    )
                )
            except (ResourceModifiedError, ResourceNotFoundError):
                raise RowChanged(f"{table}: {partition}/{key}") from None

    def delete(self, table: str, partition: str, key: str, *, etag: str | None = None) -> None:
        """Delete the row, absent or not; with `etag`, raise RowChanged unless it is unchanged."""
        check_keys(partition, key)
        condition: dict[str, Any] = {}
        if etag is not None:
            condition = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
        with storage_errors(f"deleting a row of table {table}", self._service):
            try:
                # The SDK treats an absent row as deleted, which is wrong with an ETag. The hook
                # sees the answer first.
                self._client(table).delete_entity(
                    partition, key, raw_response_hook=_raise_if_absent, **condition
                )
            except ResourceModifiedError:
                raise RowChanged(f"{table}: {partition}/{key}") from None
            except _Absent:
                if etag is not None:
                    raise RowChanged(f"{table}: {partition}/{key}") from None

    def delete_all(self, table: str, rows: Sequence[Row]) -> None:
        """Delete up to 100 rows of one partition; those that changed since they were read stay."""
        check_batch(rows)
        left = list(rows)
        with storage_errors(f"deleting rows of table {table}", self._service):
            while left:
                try:
                    self._client(table).submit_transaction(map(_deletion, left))
                except TableTransactionError as error:
                    if error.status_code not in (404, 412):
                        raise
                    del left[error.index]  # one failure undoes the whole transaction
                else:
                    return

    def query(
        self,
        table: str,
        *,
        partition: str | None = None,
        partition_to: str | None = None,
        partition_from: str | None = None,
        equals: Mapping[str, Value] | None = None,
        before: tuple[str, datetime] | None = None,
        key_from: str | None = None,
        key_to: str | None = None,
        begins: tuple[str, str] | None = None,
        columns: Collection[str] = (),
    ) -> Iterator[Row]:
        """Yield the rows whose properties equal all of `equals` and are earlier than `before`.

        They are of one partition, of those up to `partition_to` or from `partition_from` on, or of
        all: then the whole table is read. Their keys are from `key_from` to `key_to`. The text in
        a property begins as `begins` says. With `columns` the rows have only these properties.
        """
        query = _Filter()
        query.add_range("PartitionKey", at_least=partition_from, at_most=partition_to)
        query.add_range("RowKey", at_least=key_from, at_most=key_to)
        if partition is not None:
            query.add("PartitionKey", "eq", partition)
        for name, value in plain_values(equals or {}).items():
            query.add(name, "eq", value)
        if before is not None:
            check_storage_name(before[0])
            query.add(before[0], "lt", plain_value(*before))
        if begins is not None:
            check_storage_name(begins[0])
            query.add(begins[0], "ge", begins[1])
            if begins[1]:
                query.add(begins[0], "lt", after_prefix(begins[1]))
        client, select = self._client(table), _selected(columns)
        found = (
            client.query_entities(query.text, parameters=query.parameters, select=select)
            if query.text
            else client.list_entities(select=select)
        )
        while True:
            with storage_errors(f"querying table {table}", self._service):
                try:
                    entity = next(found, None)
                except ResourceNotFoundError:
                    return
            if entity is None:
                return
            yield _make_row(entity)

    def _create(self, table: str, entity: Mapping[str, Any]) -> str:
        try:
            return _etag(self._client(table).create_entity(entity))
        except ResourceExistsError as error:
            if "TableBeingDeleted" in str(error):
                raise StorageUnavailable(f"table {table} is being deleted") from error
            raise RowExists(f"{table}: {entity['PartitionKey']}/{entity['RowKey']}") from None

    def _client(self, table: str) -> TableClient:
        # Kept, because making one takes a tenth of the time of a request.
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = self._service().get_table_client(table)
        return client


class _Filter:
    """An OData filter whose strings and times go in as the SDK's parameters."""

    def __init__(self) -> None:
        self.text = ""
        self.parameters: dict[str, Any] = {}

    def add_range(self, name: str, *, at_least: str | None, at_most: str | None) -> None:
        """Add that a property is within a range, either end of which may be open."""
        if at_least is not None:
            self.add(name, "ge", at_least)
        if at_most is not None:
            self.add(name, "le", at_most)

    def add(self, name: str, operator: str, value: Value) -> None:
        """Add a comparison that also has to hold."""
        if isinstance(value, str | datetime):
            parameter = f"p{len(self.parameters)}"
            self.parameters[parameter] = value
            literal = f"@{parameter}"
        elif isinstance(value, bool):
            literal = str(value).lower()
        elif isinstance(value, int):
            # As a parameter, the SDK writes 1 and 0 as true and false, and 2**31 as 32 bits.
            literal = f"{value}L"
        else:
            literal = repr(value)
        self.text += f"{' and ' if self.text else ''}{name} {operator} {literal}"


def _selected(columns: Collection[str]) -> list[str] | None:
    """Return what a query asks for, None for whole rows; the SDK makes the ETag of Timestamp."""
    for name in columns:
        check_storage_name(name)
    return ["PartitionKey", "RowKey", "Timestamp", *columns] if columns else None


class _Absent(Exception):
    """The row to delete is absent."""


def _deletion(row: Row) -> tuple[str, dict[str, str], dict[str, Any]]:
    condition = {"etag": row.etag, "match_condition": MatchConditions.IfNotModified}
    return "delete", {"PartitionKey": row.partition, "RowKey": row.key}, condition


def _raise_if_absent(response: Any) -> None:
    if response.http_response.status_code == 404:
        raise _Absent


def _make_entity(partition: str, key: str, values: Mapping[str, Value]) -> dict[str, Any]:
    check_keys(partition, key)
    entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": key}
    for name, value in plain_values(values).items():
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        # The SDK sends plain integers as 32 bits, and refuses larger ones.
        entity[name] = EntityProperty(value, EdmType.INT64) if is_integer else value
    return entity


def _make_row(entity: TableEntity) -> Row:
    values: dict[str, Value] = {}
    for name, value in entity.items():
        # The service answers null for a property that was asked for and that the row lacks.
        if name not in ("PartitionKey", "RowKey") and value is not None:
            plain = value.value if isinstance(value, EntityProperty) else value
            values[name] = plain_value(name, plain)
    return Row(
        partition=entity["PartitionKey"],
        key=entity["RowKey"],
        values=values,
        etag=_etag(entity.metadata),
    )


def _etag(metadata: Any) -> str:
    etag: str = metadata["etag"]
    return etag
