"""The body and the headers of a webhook: bounds, and headers that are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.retraining.targets import TargetParams


def make(**values: Any) -> TargetParams:
    """Return a webhook as a target."""
    return TargetParams.model_validate({"webhook": {"name": "ticket", **values}})


@pytest.mark.parametrize(
    "values",
    [
        {"body": {"a": [1, {"b": None}]}},
        {"body": {"a": "x" * (64 * 1024 - 9)}},
        {"headers": {"X-Team": "risk", "Accept": "application/json"}},
        {"headers": {f"X-{number}": "1" for number in range(10)}},
    ],
)
def test_a_body_and_headers_of_one_s_own_are_taken(values: dict[str, Any]) -> None:
    assert make(**values).kind == "webhook"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"body": {"a": "x" * (64 * 1024 - 8)}}, "has 65,537 bytes as JSON"),
        ({"body": {"a": "ß" * (32 * 1024)}}, "bytes as JSON"),
        ({"body": "text"}, "valid dictionary"),
        ({"headers": {"Authorization": "Bearer x"}}, "can't set Authorization"),
        ({"headers": {"webhook-id": "1"}}, "can't set webhook-id"),
        ({"headers": {"Content-Length": "1"}}, "can't set Content-Length"),
        ({"headers": {"Host": "example.org"}}, "can't set Host"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "has an unfit X-A"),
        ({"headers": {"X-A": ""}}, "has an unfit X-A"),
        ({"headers": {"X-A": "x" * 501}}, "has an unfit X-A"),
        ({"headers": {"X A": "1"}}, "can't have 'X A'"),
        ({"headers": {f"X-{number}": "1" for number in range(11)}}, "has 11 headers"),
    ],
)
def test_a_body_or_header_that_is_unfit_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**values)


def test_neither_body_nor_headers_are_kept_in_a_row() -> None:
    kept = make(body={"token": "s3cret"}, headers={"X-Team": "risk"}).as_kept()
    assert kept == '{"webhook":{"name":"ticket"}}'
    other = TargetParams.model_validate({"component": {"name": "train"}})
    assert other.as_kept() == '{"component":{"name":"train"}}'
