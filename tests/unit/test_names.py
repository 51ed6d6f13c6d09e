"""One word, one thing: a name of shared/ means the same wherever it stands."""

import ast
from collections import defaultdict

from tests.layers import MODULES, name_of


def names_defined(*, classes: bool) -> dict[str, list[str]]:
    """Return where each class, or each public function, is defined at the top of a module."""
    found: dict[str, list[str]] = defaultdict(list)
    kinds = (ast.ClassDef, ast.TypeAlias) if classes else (ast.FunctionDef,)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, kinds):
                name = node.name.id if isinstance(node, ast.TypeAlias) else node.name
                if classes or not name.startswith("_"):
                    found[name].append(name_of(path))
    return found


def test_no_class_has_the_name_of_another() -> None:
    twice = {name: places for name, places in names_defined(classes=True).items() if places[1:]}
    assert twice == {}


def test_no_public_function_has_the_name_of_another() -> None:
    twice = {name: places for name, places in names_defined(classes=False).items() if places[1:]}
    assert twice == {}
