"""The fuzzers' settings: seeded, so that each run of `make test` is the same one."""

from hypothesis import HealthCheck, settings

from tests.searching import TIMES, examples

fuzzed = settings(
    max_examples=examples(150),
    derandomize=TIMES <= 1,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
