"""Each layer imports only what it may, and what it may not is seen before it is merged."""

import ast
from pathlib import Path

import pytest

from tests.layers import (
    BLOCK,
    EDGES,
    LAYERS,
    MODULES,
    PAGE,
    ROOT,
    SERVICES,
    draw,
    imports_of,
    layer_of,
    layers_below,
    name_of,
)

SDKS = {"azure", "httpx", "apprise", "requests"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_its_layer_and_those_below(path: Path) -> None:
    name = name_of(path)
    layer = layer_of(name)
    assert layer, f"no layer has {name}"
    below = layers_below(path)
    if layer == SERVICES:
        assert "twins" not in below, "they are for tests, and not deployed"
        return
    allowed = EDGES.get(layer) or set(LAYERS[: LAYERS.index(layer)])
    assert {low: item for low, item in below.items() if low not in allowed} == {}


def test_the_page_on_the_design_has_the_picture_of_these_layers() -> None:
    drawn = BLOCK.search(PAGE.read_text(encoding="utf-8"))
    assert drawn is not None
    assert drawn[0] == draw(), "run: python -m tests.layers"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_adapters_import_an_sdk(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports_of(path)}
    if name_of(path) == SERVICES:
        assert roots & SDKS <= {"azure"}, "the identity, where the adapters are built"
    elif layer_of(name_of(path)) != "adapters":
        assert not roots & SDKS


#: Modules that read JSON by themselves: the app wrote it, in its own tables and queues.
OWN_JSON = {"messages/repeats", "journal/ledger", "journal/records", "retraining/loops"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_others_wrote_is_read_within_bounds(path: Path) -> None:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "json":
            found.add(node.attr)
        if isinstance(node, ast.ImportFrom):
            assert node.module != "json", "json.loads has to be seen where it is used"
    if name_of(path) != "base/incoming" and name_of(path) not in OWN_JSON:
        assert not found & {"loads", "load", "JSONDecoder"}, "see shared/base/incoming.py"


#: Packages that speak HTTP, or any other protocol, and the modules that may import them. The
#: storage account is the app's own; azure-ai-ml and azure-identity send by an exchange of ours.
NETWORK = {
    "httpx": {"http", "guarded_transport"},
    "httpcore": {"http", "guarded_transport"},
    "requests": {"requests_adapter"},
    "apprise": {"channels", "notifier"},
    "azure.ai": {"aml/mlclient", "aml/job_files", "targets/job"},
    "azure.data": {"storage/account", "storage/tables", "storage/limits"},
    "azure.storage": {"storage/account", "storage/queues", "storage/blobs"},
    "azure.core.pipeline": {"requests_adapter"},
    "azure.identity": {"identity"},
    "azure.core.rest": set(),
    "socket": {"guarded_transport"},
    "urllib.request": {"http"},
    "http.client": set(),
    "urllib3": set(),
    "aiohttp": set(),
    "smtplib": set(),
    "msal": set(),
}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_talks_to_others_but_by_the_guarded_exchange(path: Path) -> None:
    name = name_of(path).removeprefix("adapters/")
    for module in imports_of(path):
        for root, allowed in NETWORK.items():
            if module == root or module.startswith(f"{root}."):
                assert name in allowed, f"{module}: see shared/adapters/http.py"


@pytest.mark.parametrize("folder", ["shared", "handlers", "commands"])
def test_the_app_knows_nothing_of_the_sandbox(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        roots = {module.split(".")[0] for module in imports_of(path)}
        assert not roots & {"sandbox", "demo", "bench", "tests"}, path


def test_the_sandbox_knows_nothing_of_the_app() -> None:
    for path in (ROOT / "sandbox").rglob("*.py"):
        if "node_modules" in path.parts:
            continue
        roots = {module.split(".")[0] for module in imports_of(path)}
        assert not roots & {"shared", "handlers", "commands", "demo", "bench"}, path
        assert "signalbox" not in path.read_text().lower(), path


#: Requests about an endpoint. Online and batch endpoints may share a name.
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
