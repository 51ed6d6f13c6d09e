"""Arithmetic of traffic splits: whole percentages by deployment name, that add up to 0 or 100."""

from collections.abc import Callable, Mapping

type Split = Mapping[str, int]


def share(split: Split, name: str) -> int:
    """Return the share of a deployment, in percent."""
    # The SDK writes the names in a split in lower case, not as the deployments are called.
    return sum(part for key, part in split.items() if key.lower() == name.lower())


def is_same(one: Split, other: Split) -> bool:
    """Return whether two splits send the same shares to the same deployments."""
    return _plain(one) == _plain(other)


def on_the_way(origin: Split, goal: Split, percent: int) -> dict[str, int]:
    """Return the split at this percentage of the way from one to another; 100 is the goal.

    A new deployment whose goal is all traffic gets just `percent`, and the others keep their
    proportions.
    """
    if not origin or percent >= 100:
        return {name: part for name, part in goal.items() if part}
    names = {name.lower(): name for name in (*origin, *goal)}.values()
    exact = {
        name: share(origin, name) + (share(goal, name) - share(origin, name)) * percent / 100
        for name in names
    }
    return _whole(exact)


def only(split: Split, keep: Callable[[str], bool]) -> dict[str, int]:
    """Return the split over those deployments only, in their proportions; {} where none is left."""
    left = {name: part for name, part in split.items() if part and keep(name)}
    total = sum(left.values())
    return _whole({name: part * 100 / total for name, part in left.items()})


def leader(split: Split, prefer: str = "") -> str:
    """Return the deployment with the largest share, `prefer` among equals; "" where none is."""
    return max(
        (name for name, part in split.items() if part),
        key=lambda name: (share(split, name), name.lower() == prefer.lower(), name.lower()),
        default="",
    )


def words(split: Split) -> str:
    """Return the split on one line, the largest share first."""
    parts = sorted(_plain(split).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {part}%" for name, part in parts) or "nothing"


def words_of(split: Split, mirror: Split) -> str:
    """Return a split on one line, with the mirror beside it."""
    return words(split) + (f", mirrored {words(mirror)}" if mirror else "")


def _plain(split: Split) -> dict[str, int]:
    return {name.lower(): part for name, part in split.items() if part}


def _whole(exact: Mapping[str, float]) -> dict[str, int]:
    """Round to whole percentages that add up to 100: the largest remainders are rounded up."""
    whole = {name: int(part) for name, part in exact.items()}
    missing = 100 - sum(whole.values()) if exact else 0
    by_remainder = sorted(exact, key=lambda name: (whole[name] - exact[name], name.lower()))
    for name in by_remainder[:missing]:
        whole[name] += 1
    return {name: part for name, part in whole.items() if part}
