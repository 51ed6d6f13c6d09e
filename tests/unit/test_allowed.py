"""Tags choose among the names under `allow`, in every action that has one."""

import pytest

from shared.actions import ACTIONS
from shared.actions.allowed import is_allowed

#: Fields of `allow` that are about single inputs: `retrain` holds each of them against both.
_OF_INPUTS = {"hosts", "free_text"}


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_what_allow_lists_is_guarded_however_a_tag_chooses_it(action: str) -> None:
    params = ACTIONS[action]
    allow = params.model_fields.get("allow")
    fields = set(allow.annotation.model_fields) if allow and allow.annotation else set()
    assert set(params.guarded.values()) == fields - _OF_INPUTS


@pytest.mark.parametrize(
    ("name", "globs", "allowed"),
    [
        ("churn-eu", ("churn-*",), True),
        ("CHURN-EU", ("Churn-*",), True),
        ("payments", ("churn-*",), False),
        ("my-churn-eu", ("churn-*",), False),
        ("payments", ("churn-*", "payments"), True),
        ("payments", (), False),
        ("3", ("1", "2", "3"), True),
        ("33", ("1", "2", "3"), False),
    ],
)
def test_a_name_is_allowed_by_the_globs_that_match_all_of_it(
    name: str, globs: tuple[str, ...], allowed: bool
) -> None:
    assert is_allowed(name, globs) is allowed
