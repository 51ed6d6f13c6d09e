"""The layers of shared/.

`python -m tests.layers` puts their picture into docs/explanation/design.md.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHARED = ROOT / "shared"
PAGE = ROOT / "docs" / "explanation" / "design.md"
BLOCK = re.compile(r"(?<=<!-- layers -->\n).*?(?=<!-- end of layers -->)", re.DOTALL)

#: From the ground up: a folder imports from itself and from those before it.
LAYERS = (
    "base",
    "events",
    "schema",
    "messages",
    "journal",
    "workspaces",
    "rollouts/strategy",
    "rollouts/state",
    "rollouts/gates",
    "rollouts/deciding",
    "rollouts/people",
    "rollouts/engine",
    "orphans",
    "retraining",
    "launches",
    "reactions",
    "actions",
    "flow",
)
#: Beside them: they implement what the layers ask for, and know of no rule.
EDGES: Mapping[str, frozenset[str]] = {
    "adapters": frozenset({"base", "events", "schema", "workspaces", "retraining"}),
    "twins": frozenset({"base", "events", "workspaces", "retraining", "adapters"}),
}
#: The composition root.
SERVICES = "services"

MODULES = tuple(sorted(path for path in SHARED.rglob("*.py") if path.name != "__init__.py"))


def name_of(path: Path) -> str:
    """Return a module's name below shared/, with slashes."""
    return path.relative_to(SHARED).with_suffix("").as_posix()


def layer_of(name: str) -> str:
    """Return the layer, or the edge, that a module is in; "" for one that is in none."""
    places = (*LAYERS, *EDGES, SERVICES)
    return next((place for place in places if name == place or name.startswith(f"{place}/")), "")


def imports_of(path: Path, *, typing: bool = False) -> set[str]:
    """Return every module that a file imports, wherever in it, as `package.module.name`.

    With `typing` those that are imported for type checking only count as well.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not typing and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layers_below(path: Path) -> dict[str, str]:
    """Return the other layers that a module imports from, each with one name that it imports."""
    ours = [name for name in imports_of(path, typing=True) if name.startswith("shared.")]
    found = {layer_of(name.removeprefix("shared.").replace(".", "/")): name for name in ours}
    found.pop(layer_of(name_of(path)), None)
    return found


def draw() -> str:
    """Return the layers as a table and as a Mermaid diagram, made from the code."""
    below: dict[str, set[str]] = {place: set() for place in (*LAYERS, *EDGES)}
    for path in MODULES:
        if (layer := layer_of(name_of(path))) in below:
            below[layer] |= layers_below(path).keys()
    arrows = [f"    {_id(high)} --> {_id(low)}" for high in below for low in _nearest(high, below)]
    boxes = [f"    {_id(place)}[{place}]" for place in below]
    rows = [f"| `{place}/` | {_purpose(place)} |" for place in (*reversed(LAYERS), *EDGES)]
    table = ["| folder | what is in it |", "|---|---|", *rows]
    return "\n".join([*table, "", "```mermaid", "flowchart TD", *boxes, *arrows, "```", ""])


def _nearest(high: str, below: Mapping[str, set[str]]) -> Iterator[str]:
    """Yield the layers that one imports from, but for those that another of them leads to."""

    def reach(place: str) -> set[str]:
        return below[place].union(*(reach(low) for low in below[place]))

    direct = below[high]
    for low in sorted(direct):
        if not any(low in reach(other) for other in direct - {low}):
            yield low


def _purpose(place: str) -> str:
    text = (SHARED / place / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


def _id(place: str) -> str:
    return place.replace("/", "_")


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: draw(), page), encoding="utf-8")
