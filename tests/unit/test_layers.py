"""Each layer imports only what docs/design.md allows it to."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT / "shared"

#: From the top down; a module may import from its own row and from those above.
LAYERS = [
    {"errors", "settings", "clock", "retry", "ids", "durations", "redact", "outgoing", "telemetry"}
    | {"outside"},
    {"events", "envelopes", "ports", "workspaces", "outcomes", "reactions"}
    | {"fields", "runs", "drift", "monitors"}
    | {"better", "texts", "parts", "wakeups"}
    | {f"loops.{name}" for name in ("model", "params", "windows", "reading", "policy", "budget")}
    | {"loops.notices", "loops.stages", "loops.addresses", "loops.targets"}
    | {"metrics", "alerts", "orphans"}
    | {f"rollouts.{name}" for name in ("model", "phases", "strategy", "orders", "measurements")}
    | {
        f"rollouts.{name}"
        for name in ("splits", "amounts", "golden", "serving", "gate_params", "sequence")
    }
    | {f"rollouts.{name}" for name in ("ready_made", "params", "fit", "observation", "routes")}
    | {f"rollouts.{name}" for name in ("starting", "stepping", "returning", "decide", "notices")}
    | {f"rollouts.{name}" for name in ("evidence", "significance", "gates")}
    | {"rollouts.progress", "rollouts.forecast"},
    {"ledger", "records", "dead_letters", "letter_notices", "steps", "react", "sweep", "actions"}
    | {"late_tags", "lineage", "champions"}
    | {"folds", "run_reports", "tell"}
    | {f"loops.{name}" for name in ("store", "inbox", "follow", "approvals")}
    | {"orphan_watch"}
    | {f"rollouts.{name}" for name in ("store", "hand", "begin", "preflight", "measure")}
    | {"rollouts.samples", "rollouts.probe"}
    | {f"rollouts.{name}" for name in ("apply", "tell", "observe", "tick", "advance", "control")},
    {"services"},
]
SDKS = {"azure", "httpx", "apprise", "requests"}


MODULES = sorted(path for path in SHARED.rglob("*.py") if path.name != "__init__.py")


def name_of(path: Path) -> str:
    """Return a module's name below shared/."""
    return ".".join(path.relative_to(SHARED).with_suffix("").parts)


def layer_of(name: str) -> int | None:
    """Return the row of a module, or of something in it, by the module's or its package's name."""
    for number, names in enumerate(LAYERS):
        if any(name == known or name.startswith(f"{known}.") for known in names):
            return number
    return None


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, wherever in it, but for type checking only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_its_layer_and_those_above(path: Path) -> None:
    name = name_of(path)
    ours = {module.removeprefix("shared.") for module in imports(path) if "shared." in module}
    if name.startswith("adapters."):
        allowed = 1
    else:
        found = layer_of(name)
        assert found is not None, f"docs/design.md has no layer for {name}"
        allowed = found
    for module in ours:
        if module.startswith("adapters"):
            assert name == "services" or name.startswith("adapters."), module
        else:
            layer = layer_of(module)
            assert layer is not None, module
            assert layer <= allowed, f"{name} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_adapters_import_an_sdk(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports(path)}
    if name_of(path) == "services":
        assert roots & SDKS <= {"azure"}, "the identity, where the adapters are built"
    elif not name_of(path).startswith("adapters."):
        assert not roots & SDKS


#: What reads JSON by itself: what the app wrote, in its own tables and queues.
OWN_JSON = {"folds", "ledger", "records", "loops.follow"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_others_wrote_is_read_within_bounds(path: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "json":
            found.add(node.attr)
        if isinstance(node, ast.ImportFrom):
            assert node.module != "json", "json.loads has to be seen where it is used"
    if name_of(path) != "outside" and name_of(path) not in OWN_JSON:
        assert not found & {"loads", "load", "JSONDecoder"}, "see shared/base/outside.py"


#: What speaks HTTP, or any other protocol, and the modules that may import it. The storage account
#: is the app's own; azure-ai-ml and azure-identity are given the exchange to send with.
NETWORK = {
    "httpx": {"http", "guard"},
    "httpcore": {"http", "guard"},
    "requests": {"carrier"},
    "apprise": {"channels", "notifier"},
    "azure.ai": {"mlclient", "job_files", "targets.job"},
    "azure.data": {"storage", "tables", "rows"},
    "azure.storage": {"storage", "queues", "blobs"},
    "azure.core.pipeline": {"carrier"},
    "azure.identity": {"identity"},
    "azure.core.rest": set(),
    "socket": {"guard"},
    "urllib.request": {"http"},
    "http.client": set(),
    "urllib3": set(),
    "aiohttp": set(),
    "smtplib": set(),
    "msal": set(),
}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_talks_to_others_but_by_the_guarded_exchange(path: Path) -> None:
    name = name_of(path).removeprefix("adapters.")
    for module in imports(path):
        for root, allowed in NETWORK.items():
            if module == root or module.startswith(f"{root}."):
                assert name in allowed, f"{module}: see shared/adapters/http.py"


@pytest.mark.parametrize("folder", ["shared", "handlers", "commands"])
def test_the_app_knows_nothing_of_the_sandbox(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        roots = {module.split(".")[0] for module in imports(path)}
        assert not roots & {"sandbox", "demo", "bench", "tests"}, path


def test_the_sandbox_knows_nothing_of_the_app() -> None:
    for path in (ROOT / "sandbox").rglob("*.py"):
        if "node_modules" in path.parts:
            continue
        roots = {module.split(".")[0] for module in imports(path)}
        assert not roots & {"shared", "handlers", "commands", "demo", "bench"}, path
        assert "signalbox" not in path.read_text().lower(), path


def test_the_page_on_the_design_has_the_same_layers() -> None:
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (?:base|core|flow|root)[^|]*\| ([^|]*) \|$", page, re.MULTILINE)
    told = []
    for cell in cells:
        names: set[str] = set()
        for word in re.findall(r"`([^`]+)`", cell):
            package, _, inner = word.partition("/")
            parts = inner.strip("{}").split(",") if inner else []
            names |= {f"{package}.{part}" for part in parts} if parts else {package}
        told.append(names)
    assert told == LAYERS


#: What is asked of an endpoint. Online and batch endpoints may share a name.
OF_AN_ENDPOINT = {"get_endpoint", "list_deployments", "create_endpoint", "delete_deployment"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_asked_of_an_endpoint_says_of_which_kind(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            named = {keyword.arg for keyword in node.keywords}
            # An adapter's part takes what it was called with as it is.
            is_passed_on = None in named or "adapters" in path.parts
            if node.func.attr in OF_AN_ENDPOINT and not is_passed_on:
                assert "kind" in named, f"{name_of(path)}:{node.lineno}"
