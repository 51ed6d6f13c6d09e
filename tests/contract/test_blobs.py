"""The contract of Blobs, for the twin and for Azure's."""

import pytest

from shared.base.ports import Blobs


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"x" * 1_000_000])
def test_a_blob_comes_back_as_it_was_written(blobs: Blobs, name: str, body: bytes) -> None:
    blobs.put(name, "folder/a blob.json", body)
    assert blobs.get(name, "folder/a blob.json") == body


def test_a_second_write_replaces_the_first(blobs: Blobs, name: str) -> None:
    blobs.put(name, "blob", b"first")
    blobs.put(name, "blob", b"second")
    assert blobs.get(name, "blob") == b"second"


def test_what_is_absent_is_none_and_can_be_deleted(blobs: Blobs, name: str) -> None:
    assert blobs.get(name, "blob") is None
    assert blobs.names(name) == ()
    blobs.delete(name, "blob")
    blobs.put(name, "blob", b"x")
    assert blobs.get(name, "other") is None
    blobs.delete(name, "blob")
    blobs.delete(name, "blob")
    assert blobs.get(name, "blob") is None


def test_names_come_in_order_by_prefix_and_no_more_than_asked_for(blobs: Blobs, name: str) -> None:
    for blob in ("b/2", "a/1", "b/1", "b/3"):
        blobs.put(name, blob, b"x")
    assert blobs.names(name) == ("a/1", "b/1", "b/2", "b/3")
    assert blobs.names(name, prefix="b/") == ("b/1", "b/2", "b/3")
    assert blobs.names(name, most=2) == ("a/1", "b/1")
    assert blobs.names(name, prefix="c") == ()


def test_no_blob_holds_a_secret(blobs: Blobs, name: str) -> None:
    blobs.put(name, "blob", b'{"reason": "AccountKey=s3cr3tValue"}')
    assert blobs.get(name, "blob") == b'{"reason": "AccountKey=[redacted]"}'
