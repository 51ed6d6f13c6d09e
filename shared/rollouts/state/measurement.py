"""The measurement of a gate at one look, with its outcome, as it is kept."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.rollouts.strategy.model import Gate, NoVerdict
from shared.workspaces.metrics import Measure


class GateOutcome(StrEnum):
    """The outcome of measuring a gate."""

    PASS = "pass"
    FAIL = "fail"
    NO_DATA = "no_data"  #: The service has no values for a deployment in the window.
    TOO_FEW = "too_few"  #: There are values, and not enough of them for a verdict.
    UNAVAILABLE = "unavailable"  #: The metrics could not be read.


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One look at one gate: the values, the limit that they were judged by, and the queries.

    `new` and `stable` are the values over the window, in the measure's unit, None where there are
    none. `p_value` is the probability of values as bad as these, or worse, of a new deployment that
    just keeps the limit; below `alpha` the gate fails. Both are None where nothing was tested.
    """

    at: datetime
    step: int  #: Of the strategy's steps, from 0; -1 is the proof on the stable deployment.
    measure: Measure
    outcome: GateOutcome
    detail: str  #: The verdict in one sentence, with the numbers.
    limit: str = ""  #: The limit in words: "at most 1.2 times the stable one's".
    start: datetime | None = None
    end: datetime | None = None
    new: float | None = None
    stable: float | None = None
    requests: int = 0  #: Of the new deployment in the window; of the stable one in the proof.
    stable_requests: int = 0
    p_value: float | None = None
    alpha: float | None = None
    observe: bool = False
    lasting: bool = False  #: Of UNAVAILABLE: waiting won't help, as when a right is missing.
    queries: tuple[str, ...] = ()


def answer_to(gate: Gate, outcome: GateOutcome) -> NoVerdict:
    """Return the gate's decision for an outcome without a verdict."""
    if outcome is GateOutcome.NO_DATA:
        return gate.no_data
    return gate.too_few if outcome is GateOutcome.TOO_FEW else gate.unavailable
