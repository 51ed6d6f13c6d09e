"""The contract of Tables, for the twin and for Azure's."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import islice
from threading import Barrier, Thread

import pytest

from shared.base.ports import RowChanged, RowExists, Tables, Value

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


def test_a_row_comes_back_as_it_was_inserted(tables: Tables, name: str) -> None:
    values: dict[str, Value] = {
        "text": "Grüße, 東京 🚂 <&> 'quoted'",
        "empty": "",
        "number": 3,
        "ratio": 0.25,
        "whole_ratio": 5.0,
        "yes": True,
        "no": False,
        "at": NOON,
    }
    etag = tables.insert(name, "part", "key", values)
    row = tables.get(name, "part", "key")
    assert row is not None
    assert (row.partition, row.key, row.etag) == ("part", "key", etag)
    assert row.values == values
    assert {key: type(value) for key, value in row.values.items()} == {
        key: type(value) for key, value in values.items()
    }


@pytest.mark.parametrize("number", [0, 1, -1, 2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**63 - 1])
def test_integers_of_64_bits_survive_and_can_be_asked_for(
    tables: Tables, name: str, number: int
) -> None:
    tables.insert(name, "part", "key", {"number": number})
    tables.insert(name, "part", "other", {"number": 77})
    (row,) = tables.query(name, equals={"number": number})
    assert row.key == "key"
    assert row.values["number"] == number


def test_the_longest_string_survives(tables: Tables, name: str) -> None:
    text = "ä" * 32_000
    tables.insert(name, "part", "key", {"text": text})
    row = tables.get(name, "part", "key")
    assert row is not None
    assert row.values["text"] == text


def test_times_come_back_in_utc_to_the_microsecond(tables: Tables, name: str) -> None:
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    tables.insert(name, "part", "key", {"at": east})
    row = tables.get(name, "part", "key")
    assert row is not None
    at = row.values["at"]
    assert type(at) is datetime
    assert (at, at.tzinfo) == (NOON, UTC)


def test_a_word_of_an_enum_is_kept_as_a_plain_string(tables: Tables, name: str) -> None:
    tables.insert(name, "part", "key", {"colour": Colour.RED})
    (row,) = tables.query(name, equals={"colour": Colour.RED})
    assert type(row.values["colour"]) is str


def test_keys_may_hold_what_addresses_quote(tables: Tables, name: str) -> None:
    for key in ("a b", "it's", "100%", "ünï", "a+b", "a:b", "x=1&y=2", "$(1)", "..", ""):
        tables.insert(name, key, key, {"key": key})
        row = tables.get(name, key, key)
        assert row is not None
        assert row.values == {"key": key}
        assert [found.key for found in tables.query(name, partition=key)] == [key]
        tables.delete(name, key, key, etag=row.etag)
        assert tables.get(name, key, key) is None


@pytest.mark.parametrize(
    "key", ["a/b", "a\\b", "a#b", "a?b", "a\nb", "a\x7fb", "a\x85b", "k" * 513]
)
def test_keys_that_tables_refuse_are_refused_before_they_are_sent(
    tables: Tables, name: str, key: str
) -> None:
    with pytest.raises(ValueError, match="a key"):
        tables.insert(name, "part", key, {})
    with pytest.raises(ValueError, match="a key"):
        tables.insert(name, key, "key", {})
    with pytest.raises(ValueError, match="a key"):
        tables.get(name, "part", key)
    with pytest.raises(ValueError, match="a key"):
        tables.delete(name, "part", key)
    with pytest.raises(ValueError, match="a key"):
        tables.replace(name, "part", key, {}, etag="any")


@pytest.mark.parametrize(
    "values",
    [
        {"at": datetime(2026, 3, 1)},  # noqa: DTZ001 - what is refused
        {"number": 2**63},
        {"ratio": float("nan")},
        {"text": "x" * 32_769},
        {"text": "🚂" * 16_385},
        {"PartitionKey": "x"},
        {"Timestamp": NOON},
        {"two words": 1},
        {"": 1},
    ],
)
def test_values_that_tables_refuse_are_refused_before_they_are_sent(
    tables: Tables, name: str, values: dict[str, Value]
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        tables.insert(name, "part", "key", values)


def test_a_second_insert_of_a_row_fails_and_changes_nothing(tables: Tables, name: str) -> None:
    tables.insert(name, "part", "key", {"by": "first"})
    with pytest.raises(RowExists):
        tables.insert(name, "part", "key", {"by": "second"})
    row = tables.get(name, "part", "key")
    assert row is not None
    assert row.values == {"by": "first"}


def test_one_of_many_concurrent_inserts_wins(tables: Tables, name: str) -> None:
    tables.insert(name, "part", "warm", {})
    barrier, won = Barrier(8, timeout=60), []

    def insert(number: int) -> None:
        barrier.wait()
        try:
            tables.insert(name, "part", "key", {"by": number})
        except RowExists:
            return
        won.append(number)

    threads = [Thread(target=insert, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    row = tables.get(name, "part", "key")
    assert row is not None
    assert won == [row.values["by"]]


def test_replacing_swaps_all_values_and_the_etag(tables: Tables, name: str) -> None:
    first = tables.insert(name, "part", "key", {"a": 1, "b": 2})
    second = tables.replace(name, "part", "key", {"a": 3}, etag=first)
    row = tables.get(name, "part", "key")
    assert row is not None
    assert row.values == {"a": 3}
    assert row.etag == second != first


def test_replacing_with_a_stale_etag_fails_and_changes_nothing(tables: Tables, name: str) -> None:
    stale = tables.insert(name, "part", "key", {"by": "first"})
    tables.replace(name, "part", "key", {"by": "second"}, etag=stale)
    with pytest.raises(RowChanged):
        tables.replace(name, "part", "key", {"by": "third"}, etag=stale)
    row = tables.get(name, "part", "key")
    assert row is not None
    assert row.values == {"by": "second"}


def test_replacing_an_absent_row_fails(tables: Tables, name: str) -> None:
    with pytest.raises(RowChanged):
        tables.replace(name, "part", "key", {}, etag='W/"no-table"')
    etag = tables.insert(name, "part", "key", {})
    with pytest.raises(RowChanged):
        tables.replace(name, "part", "other", {}, etag=etag)
    tables.delete(name, "part", "key")
    with pytest.raises(RowChanged):
        tables.replace(name, "part", "key", {}, etag=etag)


def test_deleting_takes_an_absent_row_for_deleted(tables: Tables, name: str) -> None:
    tables.delete(name, "part", "key")
    tables.insert(name, "part", "key", {})
    tables.delete(name, "part", "key")
    tables.delete(name, "part", "key")
    assert tables.get(name, "part", "key") is None


def test_deleting_with_an_etag_needs_the_row_unchanged(tables: Tables, name: str) -> None:
    stale = tables.insert(name, "part", "key", {})
    fresh = tables.replace(name, "part", "key", {"a": 1}, etag=stale)
    with pytest.raises(RowChanged):
        tables.delete(name, "part", "key", etag=stale)
    assert tables.get(name, "part", "key") is not None
    tables.delete(name, "part", "key", etag=fresh)
    with pytest.raises(RowChanged):
        tables.delete(name, "part", "key", etag=fresh)


def test_a_table_that_nobody_wrote_to_is_empty(tables: Tables, name: str) -> None:
    assert tables.get(name, "part", "key") is None
    assert list(tables.query(name)) == []
    assert list(tables.query(name, partition="part")) == []


def keys(rows: Iterator) -> list[str]:
    return [row.key for row in rows]


def test_a_query_demands_everything_it_names(tables: Tables, name: str) -> None:
    tables.insert(name, "a", "1", {"state": "open", "hot": True, "share": 0.5, "at": NOON})
    tables.insert(name, "a", "2", {"state": "done", "hot": True, "share": 0.5, "at": NOON})
    tables.insert(name, "b", "3", {"state": "open", "hot": False, "share": 1.0})
    assert keys(tables.query(name)) == ["1", "2", "3"]
    assert keys(tables.query(name, partition="a")) == ["1", "2"]
    assert keys(tables.query(name, equals={"state": "open"})) == ["1", "3"]
    assert keys(tables.query(name, equals={"hot": True})) == ["1", "2"]
    assert keys(tables.query(name, equals={"share": 1.0})) == ["3"]
    assert keys(tables.query(name, equals={"at": NOON})) == ["1", "2"]
    assert keys(tables.query(name, partition="a", equals={"state": "open", "hot": True})) == ["1"]
    assert keys(tables.query(name, equals={"missing": "x"})) == []


def test_a_query_for_earlier_rows_leaves_out_the_moment_itself(tables: Tables, name: str) -> None:
    for hours in range(3):
        tables.insert(name, "part", str(hours), {"due": NOON + timedelta(hours=hours)})
    tables.insert(name, "part", "never", {"state": "parked"})
    limit = NOON + timedelta(hours=1)
    assert keys(tables.query(name, before=("due", limit))) == ["0"]
    just_after = limit + timedelta(milliseconds=1)  # Azurite compares no finer
    assert keys(tables.query(name, before=("due", just_after))) == ["0", "1"]
    assert keys(tables.query(name, partition="other", before=("due", just_after))) == []


@pytest.mark.parametrize(
    "text", ["' or 1 eq 1 or '", "it's", "@p0", "a and b", "", "%27", "datetime'2026'"]
)
def test_what_is_asked_for_is_never_taken_for_a_condition(
    tables: Tables, name: str, text: str
) -> None:
    tables.insert(name, "part", "match", {"text": text})
    tables.insert(name, "part", "other", {"text": "something else"})
    assert keys(tables.query(name, partition="part", equals={"text": text})) == ["match"]


@pytest.mark.parametrize("bad", ["text eq 'x' or text", "PartitionKey", "a b"])
def test_what_is_asked_about_must_be_a_name(tables: Tables, name: str, bad: str) -> None:
    with pytest.raises(ValueError, match="can't be named"):
        list(tables.query(name, equals={bad: "x"}))
    with pytest.raises(ValueError, match="can't be named"):
        list(tables.query(name, before=(bad, NOON)))
    with pytest.raises(ValueError, match="can't be named"):
        list(tables.query(name, begins=(bad, "x")))
    with pytest.raises(ValueError, match="can't be named"):
        list(tables.query(name, columns=(bad,)))


def test_a_caller_may_stop_reading_and_write_while_it_reads(tables: Tables, name: str) -> None:
    for number in range(5):
        tables.insert(name, "part", str(number), {})
    for row in islice(tables.query(name), 3):
        tables.delete(name, row.partition, row.key, etag=row.etag)
    assert keys(tables.query(name)) == ["3", "4"]


def test_a_row_that_was_read_is_the_readers_own(tables: Tables, name: str) -> None:
    given: dict[str, Value] = {"a": 1}
    tables.insert(name, "part", "key", given)
    given["a"] = 2
    row = tables.get(name, "part", "key")
    assert row is not None
    assert row.values == {"a": 1}


def test_a_query_of_a_range_of_partitions_reads_no_others(tables: Tables, name: str) -> None:
    for day in ("2026-03-01", "2026-03-02", "2026-03-03", "9999-12-31"):
        tables.insert(name, day, "row", {})
    found = [row.partition for row in tables.query(name, partition_to="2026-03-02")]
    assert found == ["2026-03-01", "2026-03-02"]
    found = [row.partition for row in tables.query(name, partition_from="2026-03-03")]
    assert found == ["2026-03-03", "9999-12-31"]


def test_a_query_of_a_range_of_keys_reads_no_others(tables: Tables, name: str) -> None:
    for partition, key in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "2")]:
        tables.insert(name, partition, key, {})
    assert keys(tables.query(name, partition="a", key_from="2")) == ["2", "3"]
    assert keys(tables.query(name, partition="a", key_to="2")) == ["1", "2"]
    assert keys(tables.query(name, partition="a", key_from="2", key_to="2")) == ["2"]
    assert keys(tables.query(name, partition="a", key_from="")) == ["1", "2", "3"]


def test_rows_are_found_by_how_a_text_begins(tables: Tables, name: str) -> None:
    for key, text in [("1", "churn:8"), ("2", "churn:80"), ("3", "Churn:8"), ("4", "churn")]:
        tables.insert(name, "part", key, {"about": text})
    tables.insert(name, "part", "5", {"about": 7})
    tables.insert(name, "part", "6", {})
    assert keys(tables.query(name, begins=("about", "churn:8"))) == ["1", "2"]
    assert keys(tables.query(name, begins=("about", "churn"))) == ["1", "2", "4"]
    assert keys(tables.query(name, begins=("about", "fraud"))) == []
    assert keys(tables.query(name, begins=("about", "' or 1 eq 1 or '"))) == []


def test_a_query_may_leave_long_properties_unread(tables: Tables, name: str) -> None:
    tables.insert(name, "part", "1", {"about": "churn:8", "body": "x" * 30_000, "n": 1, "at": NOON})
    tables.insert(name, "part", "2", {"about": "fraud:1"})
    first, second = tables.query(name, columns=("about", "n", "at"))
    assert first.values == {"about": "churn:8", "n": 1, "at": NOON}
    assert second.values == {"about": "fraud:1"}
    (found,) = tables.query(name, equals={"n": 1}, columns=("about",))
    assert found.values == {"about": "churn:8"}
    tables.delete_all(name, [first])  # its ETag is that of the whole row
    assert keys(tables.query(name)) == ["2"]


@pytest.mark.parametrize("how", ["insert", "replace"])
def test_no_row_holds_a_secret_and_a_document_in_it_remains_one(
    tables: Tables, name: str, how: str
) -> None:
    document = {
        "text": 'he said "AccountKey=s3cr3tValue/abc=="\x1b[2J',
        "token": "s3cr3t",
        "n": [1],
    }
    values: dict[str, Value] = {"text": json.dumps(document), "reason": "Pwd=s3cr3tValue;"}
    if how == "insert":
        tables.insert(name, "part", "key", values)
    else:
        etag = tables.insert(name, "part", "key", {"text": "", "reason": ""})
        tables.replace(name, "part", "key", values, etag=etag)
    (row,) = tables.query(name)
    assert "s3cr3t" not in str(row.values)
    assert row.values["reason"] == "Pwd=[redacted];"
    assert json.loads(str(row.values["text"])) == {
        "text": 'he said "AccountKey=[redacted]"',
        "token": "[redacted]",
        "n": [1],
    }
    tables.replace(name, "part", "key", row.values, etag=row.etag)
    (again,) = tables.query(name, equals={"reason": "Pwd=s3cr3tValue;"})
    assert again.values == row.values


def test_rows_are_deleted_together_but_for_those_that_have_changed(
    tables: Tables, name: str
) -> None:
    for number in range(100):
        tables.insert(name, "part", f"{number:03}", {"number": number})
    rows = list(tables.query(name))
    tables.replace(name, "part", "007", {"number": 7}, etag=rows[7].etag)
    tables.delete(name, "part", "042")
    tables.delete_all(name, rows)
    assert [row.key for row in tables.query(name)] == ["007"]
    tables.delete_all(name, rows)
    tables.delete_all(name, ())


def test_what_no_transaction_takes_is_refused(tables: Tables, name: str) -> None:
    for part in ("one", "two"):
        tables.insert(name, part, "key", {"number": 1})
    with pytest.raises(ValueError, match="one partition"):
        tables.delete_all(name, list(tables.query(name)))
