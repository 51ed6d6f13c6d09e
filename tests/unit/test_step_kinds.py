"""A kind of step is at home in its own modules: nothing else of rollouts/ knows it by name."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from shared.rollouts.deciding.steps.kinds import DECIDERS
from shared.rollouts.state.phases import PHASES, STEPS
from shared.rollouts.strategy.model import StepKind
from shared.rollouts.strategy.schema import StepParams
from shared.rollouts.strategy.steps.kinds import WRITTEN
from tests.layers import MODULES, SHARED, name_of

ROLLOUTS = tuple(path for path in MODULES if name_of(path).startswith("rollouts/"))
#: The folders with a module for each kind of step.
OF_KINDS = ("rollouts/strategy/steps", "rollouts/deciding/steps")

#: The kinds that other modules name, and why.
ALLOWED: Mapping[str, frozenset[StepKind]] = {
    # The table of phases; and that a rollout doesn't fail where the new one is not better.
    "rollouts/state/phases": frozenset(StepKind),
    # An order of that name is for this step alone.
    "rollouts/state/orders": frozenset({StepKind.APPROVE}),
    # People are asked, in a message of its own.
    "rollouts/people/notices": frozenset({StepKind.APPROVE}),
}


def kinds_named(path: Path) -> set[StepKind]:
    """Return the kinds that a module names: as a member of StepKind, or by their phase."""
    members = {("StepKind", kind.name): kind for kind in StepKind}
    members |= {("Phase", phase.name): kind for kind, phase in PHASES.items()}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = (
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    )
    return {members[name] for name in named if name in members}


@pytest.mark.parametrize("path", ROLLOUTS, ids=name_of)
def test_a_module_names_no_kind_of_step_but_its_own(path: Path) -> None:
    folder, _, name = name_of(path).rpartition("/")
    is_own = folder in OF_KINDS and name in set(StepKind)
    own = {StepKind(name)} if is_own else set()
    assert kinds_named(path) <= own | ALLOWED.get(name_of(path), frozenset())


@pytest.mark.parametrize("folder", OF_KINDS)
@pytest.mark.parametrize("kind", StepKind)
def test_each_kind_has_its_module(folder: str, kind: StepKind) -> None:
    assert kinds_named(SHARED / folder / f"{kind}.py") == {kind}


def test_every_table_has_every_kind_in_the_same_order() -> None:
    assert list(WRITTEN) == list(DECIDERS) == list(PHASES) == list(StepKind)
    assert len(set(STEPS)) == len(STEPS)
    assert set(StepParams.model_fields) == set(StepKind)
