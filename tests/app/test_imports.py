"""The modules that a worker imports on its way: no clock is asked, only their names."""

from collections.abc import Iterator

import pytest

from bench.app import open_bench
from bench.imports import Imports, packages, watch_imports

#: Indexing needs the functions and the reading of their envelopes, and no part of the app.
INDEXING = {
    *("shared", "shared.services"),
    *("shared.base", "shared.base.clock", "shared.base.errors", "shared.base.ids"),
    *("shared.base.lazy", "shared.base.outgoing", "shared.base.incoming", "shared.base.redact"),
    *("shared.base.settings", "shared.base.telemetry", "shared.base.words"),
    *("shared.events", "shared.events.alerts", "shared.events.breaches", "shared.events.causes"),
    *("shared.events.envelopes", "shared.events.fields", "shared.events.model"),
    *("shared.events.monitors", "shared.events.runs"),
}
#: Of the API of OpenTelemetry, which does nothing by itself.
INDEXING_PACKAGES = {
    *(f"opentelemetry.{name}" for name in ("attributes", "context", "environment_variables")),
    *(f"opentelemetry.{name}" for name in ("metrics", "propagators", "trace", "util")),
    "typing_extensions",
}
#: For one event that only tells a channel; another reaction of the file deploys models.
FOLDERS = {
    *("shared.actions", "shared.actions.deploy", "shared.actions.notify", "shared.adapters"),
    *("shared.adapters.storage", "shared.base", "shared.events", "shared.flow", "shared.journal"),
    "shared.messages",  # each message is counted
    *("shared.orphans", "shared.reactions", "shared.rollouts", "shared.rollouts.strategy"),
    *("shared.rollouts.strategy.steps", "shared.schema", "shared.workspaces"),
}
PACKAGES = {
    *("annotated_types", "pydantic", "pydantic_core", "typing_inspection"),  # values are checked
    *("yaml", "jmespath"),  # reactions.yaml and its expressions are read
    *("azure.core", "azure.data", "isodate", "multidict", "propcache", "yarl"),  # tables
    *("certifi", "charset_normalizer", "idna", "requests", "urllib3"),  # tables and Apprise
    "apprise",
    *("h11", "httpcore", "httpx"),  # the guarded exchange
}
#: Libraries look for these, and do without them where the app is deployed.
LOOKED_FOR = {
    *("anyio", "backports", "brotli", "brotlicffi", "chardet", "click", "h2", "simplejson"),
    *("socks", "socksio", "trio", "zstandard"),
}

_ADVICE = (
    "loads {}: every cold start pays for that. Import it where it is used, in the function that"
    " needs it, or, if each such event needs it, add it here; `make bench ARGS=cold_start` says"
    " what it costs"
)


@pytest.fixture(scope="module")
def imports() -> Iterator[Imports]:
    with open_bench() as bench:
        yield watch_imports(bench)


def test_indexing_loads_no_more_than_it_needs(imports: Imports) -> None:
    found = {name for name in imports.indexing if name.startswith("shared")} - INDEXING
    found |= packages(imports.indexing) - INDEXING_PACKAGES
    assert not found, "indexing the app " + _ADVICE.format(sorted(found))


def test_the_first_event_loads_no_more_than_it_needs(imports: Imports) -> None:
    ours = {name.rpartition(".")[0] for name in imports.event if name.startswith("shared.")}
    found = ours - FOLDERS - {"shared"} | packages(imports.event) - PACKAGES - LOOKED_FOR
    assert not found, "an event that only tells a channel " + _ADVICE.format(sorted(found))
    assert "shared.flow.react" in imports.event  # else this is not what was imported
