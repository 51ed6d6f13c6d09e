"""Derived names are legal, stable, and different for different things."""

import re
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.base.ids import NAME_MAX, SLUG_MIN, deployment_name, digest, is_legal_name, slug

ANY = st.text(st.characters() | st.sampled_from("\ud800\udfff\x00\u212a"), max_size=60)
#: Names of the kind that people give to models, dense enough for near misses.
LIKELY = st.text("abcXYZ019-_. ", max_size=40)
KEYS = ANY.map(digest)
#: AML's rule, put differently than in the code.
LEGAL = re.compile(r"(?=.{3,32}\Z)(?!.*--)[a-z][a-z0-9-]*[a-z0-9]")


def pairs[T](*things: T) -> list[tuple[T, T]]:
    """Every two of them."""
    return list(combinations(things, 2))


@pytest.mark.parametrize(
    "name", ["abc", "a-b", "a1-2", "Fraud", "A" * 32, "fraud-v3-1a2b3c", "a-" * 15 + "ab"]
)
def test_a_name_that_aml_takes_is_legal(name: str) -> None:
    assert is_legal_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 33,
        "1abc",
        "-abc",
        "abc-",
        "a--b",
        "a_b",
        "a.b",
        "a b",
        "größe",
        "abc\n",
        "ab\u212a",  # a sign that lower() makes a plain k
        "abİ",
        "ab\u0661",
    ],
)
def test_a_name_that_aml_refuses_is_not_legal(name: str) -> None:
    assert not is_legal_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("fraud", "fraud", id="legal already"),
        pytest.param("Fraud-Model", "fraud-model", id="only its case changes"),
        pytest.param("fraud_model", r"fraud-model-[0-9a-f]{5}", id="an underscore"),
        pytest.param("fraud model", r"fraud-model-[0-9a-f]{5}", id="a space"),
        pytest.param("3d-faces", r"m-3d-faces-[0-9a-f]{5}", id="a digit first"),
        pytest.param("ab", r"ab-[0-9a-f]{5}", id="too short"),
        pytest.param("", r"m-[0-9a-f]{5}", id="nothing"),
        pytest.param("größe", r"gr-e-[0-9a-f]{5}", id="letters of another script"),
        pytest.param("模型", r"m-[0-9a-f]{5}", id="no letter that a name can hold"),
        pytest.param("x" * 33, r"x{26}-[0-9a-f]{5}", id="too long"),
    ],
)
def test_a_slug_stays_close_to_its_text(text: str, expected: str) -> None:
    assert re.fullmatch(expected, slug(text))


def test_a_text_that_would_be_legal_is_cut_to_its_room() -> None:
    assert re.fullmatch(r"fraud-[0-9a-f]{5}", slug("fraud-detection", room=11))
    assert slug("fraud-detection", room=15) == "fraud-detection"


@pytest.mark.parametrize("room", [-1, 0, SLUG_MIN - 1, NAME_MAX + 1])
def test_a_slug_without_room_is_an_error(room: int) -> None:
    with pytest.raises(ValueError, match=f"a room of {room} "):
        slug("fraud", room=room)


@given(ANY | LIKELY, st.integers(SLUG_MIN, NAME_MAX))
def test_a_slug_is_legal_in_any_room(text: str, room: int) -> None:
    name = slug(text, room=room)
    assert LEGAL.fullmatch(name)
    assert is_legal_name(name)
    assert len(name) <= room


@given(LIKELY, LIKELY)
def test_texts_that_differ_beyond_case_have_different_slugs(one: str, other: str) -> None:
    assume(one.lower() != other.lower())
    assert slug(one) != slug(other)


@pytest.mark.parametrize(
    ("one", "other"),
    pairs("my model", "my_model", "my-model", "my--model", "my.model", "My_model"),
)
def test_texts_that_differ_in_what_a_name_cannot_hold_have_different_slugs(
    one: str, other: str
) -> None:
    assert slug(one) != slug(other)


@given(ANY | LIKELY)
def test_a_slug_is_a_slug_of_itself(text: str) -> None:
    assert slug(slug(text)) == slug(text)


def test_names_are_the_same_in_every_process_and_release() -> None:
    # A worker after a crash or an upgrade must find the things that have these names.
    key = digest("workspace", "ModelRegistered", "fraud_model:3", "e1")
    assert key == "54af26c7e715e36d79afb1235cb9025eb899d385d8a156e4d9f333e3073d4231"
    assert slug("fraud_model") == "fraud-model-ee87f"
    assert deployment_name("fraud_model", "3", key) == "fraud-model-ee87f-v3-54af26"


@given(ANY | LIKELY, ANY | LIKELY, KEYS)
def test_a_deployment_name_is_legal(model: str, version: str, key: str) -> None:
    name = deployment_name(model, version, key)
    assert LEGAL.fullmatch(name)
    assert is_legal_name(name)
    assert deployment_name(model, version, key) == name


@given(ANY | LIKELY, st.integers(0, 10**12 - 1), KEYS)
def test_a_deployment_name_carries_the_version(model: str, version: int, key: str) -> None:
    assert deployment_name(model, str(version), key).endswith(f"-v{version}-{key[:6]}")


@pytest.mark.parametrize(
    ("version", "part"),
    [
        ("3", "v3"),
        ("1.2.3", "v1-2-3"),
        ("2024-05-14.1", "v2024-05-14-1"),
        ("RC_1", "vrc-1"),
        ("", "vx"),
        ("...", "vx"),
        ("1234567890123456", "v123456789012"),
        ("12345678901.5", "v12345678901"),
    ],
)
def test_a_deployment_name_shows_as_much_of_the_version_as_fits(version: str, part: str) -> None:
    key = digest(version)
    assert deployment_name("fraud", version, key) == f"fraud-{part}-{key[:6]}"


@given(LIKELY, LIKELY, KEYS, KEYS)
def test_deployments_of_different_events_have_different_names(
    model: str, version: str, one: str, other: str
) -> None:
    assume(one != other)
    assert deployment_name(model, version, one) != deployment_name(model, version, other)


@pytest.mark.parametrize(
    ("one", "other"),
    pairs((), ("",), ("", ""), ("ab",), ("a", "b"), ("a", "b", ""), ("1:a",), ("b", "a")),
)
def test_the_borders_between_parts_count(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert digest(*one) != digest(*other)


@given(st.lists(ANY, max_size=4), st.lists(ANY, max_size=4))
def test_a_digest_belongs_to_one_sequence_of_parts(one: list[str], other: list[str]) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest(*one))
    assert (digest(*one) == digest(*other)) == (one == other)
