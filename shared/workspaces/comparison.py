"""Compares a new model with the one that serves. Pure: it does no I/O."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from shared.schema.values import Values

#: Two values that differ by less than this share of the larger one are a tie, because the order of
#: arithmetic makes such differences.
TIE = 1e-12


class BetterParams(Values):
    """When a new model, the challenger, is better than the champion, which serves."""

    metric: str = Field(min_length=1, max_length=255)
    direction: Literal["higher", "lower"] = "higher"
    margin: float = Field(default=0, ge=0, allow_inf_nan=False)
    relative_margin: float = Field(default=0, ge=0, allow_inf_nan=False)
    equal: bool = False
    no_champion: bool = True
    source: Literal["run", "tags", "properties"] = "run"

    @model_validator(mode="after")
    def _check_margins(self) -> Self:
        if self.margin and self.relative_margin:
            raise ValueError("give either `margin` or `relative_margin`")
        if self.equal and (self.margin or self.relative_margin):
            # Else a tie would be enough, and a little better than a tie would not.
            raise ValueError("if a tie is enough, there can be no margin")
        return self


class Standing(StrEnum):
    """The result of comparing a challenger with the champion."""

    BETTER = "better"  #: By at least the margin.
    EQUAL = "equal"
    NOT_BETTER = "not_better"  #: Worse, or better by less than the margin.
    NO_CHAMPION = "no_champion"  #: Nothing serves.
    CHALLENGER_UNKNOWN = "challenger_unknown"
    CHAMPION_UNKNOWN = "champion_unknown"

    @property
    def is_known(self) -> bool:
        """Whether all values for the answer were there."""
        return self not in (Standing.CHALLENGER_UNKNOWN, Standing.CHAMPION_UNKNOWN)


#: Stands for the champion's value if nothing serves.
NO_CHAMPION: Final = Standing.NO_CHAMPION


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of a comparison, whether it is enough to go on, and why, with the numbers."""

    standing: Standing
    is_enough: bool
    reason: str


def compare(
    challenger: float | None,
    champion: float | Literal[Standing.NO_CHAMPION] | None,
    params: BetterParams,
) -> Verdict:
    """Compare a challenger's metric with the champion's; None is a missing metric.

    A value that is not finite counts as missing. A missing value is never enough, even if nothing
    serves, because the next model could not be compared with it. Values within TIE of each other
    are equal, and a lead within TIE of the margin counts as the margin.
    """
    if challenger is None or not math.isfinite(challenger):
        return _verdict(Standing.CHALLENGER_UNKNOWN, f"{params.metric} of the new model is missing")
    if champion is Standing.NO_CHAMPION:
        reason = f"{params.metric} is {_shown(challenger)}, and nothing serves yet"
        return _verdict(Standing.NO_CHAMPION, reason, is_enough=params.no_champion)
    if champion is None or not math.isfinite(champion):
        reason = f"{params.metric} of the model that serves is missing"
        return _verdict(Standing.CHAMPION_UNKNOWN, reason)
    standing = _standing(challenger, champion, params)
    is_enough = standing is Standing.BETTER or (standing is Standing.EQUAL and params.equal)
    return _verdict(standing, _words(challenger, champion, params), is_enough=is_enough)


def _standing(challenger: float, champion: float, params: BetterParams) -> Standing:
    if _is_tie(challenger, champion):
        return Standing.EQUAL
    sign = 1 if params.direction == "higher" else -1
    ours, theirs = sign * challenger, sign * champion
    wanted = theirs + _margin(champion, params)
    is_ahead = ours > theirs and (ours >= wanted or _is_tie(ours, wanted))
    return Standing.BETTER if is_ahead else Standing.NOT_BETTER


def _is_tie(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TIE, abs_tol=0)


def _margin(champion: float, params: BetterParams) -> float:
    return params.margin or params.relative_margin * abs(champion)


def _words(challenger: float, champion: float, params: BetterParams) -> str:
    sense = "" if params.direction == "higher" else " (lower is better)"
    sides = f"{params.metric} {_shown(challenger)} against {_shown(champion)}{sense}"
    if _is_tie(challenger, champion):
        return f"{sides}: equal"
    is_ahead = (challenger > champion) == (params.direction == "higher")
    lead = f"{'better' if is_ahead else 'worse'} by {_shown(abs(challenger - champion))}"
    margin = _margin(champion, params)
    return f"{sides}: {lead}" + (f", wanted is {_shown(margin)}" if margin else "")


def _shown(value: float) -> str:
    # So many digits as can make a difference.
    return f"{value:.12g}"


def _verdict(standing: Standing, reason: str, *, is_enough: bool = False) -> Verdict:
    return Verdict(standing=standing, is_enough=is_enough, reason=reason)
