"""Conditions over whatever arrives, as many as the fuzzer is told to try."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import fuzzed
from tests.unit import test_conditions_are_total as total


@fuzzed
@given(st.data())
def test_a_condition_never_fails_for_want_of_anything(data: st.DataObject) -> None:
    total.require_total(data)


@fuzzed
@given(st.data())
def test_what_check_lets_pass_gives_true_or_false_for_whatever_arrives(
    data: st.DataObject,
) -> None:
    total.require_an_answer(data)
