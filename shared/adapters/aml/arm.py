"""Azure Resource Manager: one call, one request, our errors.

Why not azure-ai-ml, operation by operation. All of it costs 2 s and 80 MB at import. Then:

- get_model, list_deployments: the same single request, at twice the time.
- get_endpoint: reads the deployments as well, and fails whole when one of them lacks a field.
- create_endpoint, set_traffic: reads the workspace before each write; lower-cases the names in the
  split and drops its zeros; leaves out what its model of an endpoint does not know.
- create_deployment: reads endpoint and workspace before each write; starts a thread that polls
  every 5 s until the end, which nothing stops.
- delete_deployment: the same thread. get_logs: the same request.
- get_operation: has none, while only the operation's document has the reason of a failure.
- score: its headers are shared by all calls of the process, so that one call's deployment and key
  leak into the next; four requests each. Starting a job of a batch endpoint: the same headers, a
  new Repeatability-Request-ID each time, and five tries, so that one call may start two jobs.
- find_models: does not filter by tags.
- register_model: one request more, which looks for something else; no word of the run.
- get_run, get_metrics: has none; list_children: four requests, and no errors or times of the runs.
- starting a job of a registered component, or a copy of a job: reads the workspace each time; a
  job that was read can't be written as a new one.
- starting a job from YAML: only it knows what the YAML means, so that this is done with it.

Its bodies are right, though: a contract test compares ours with them.
"""

from collections.abc import Callable

from azure.core.credentials import TokenCredential

from shared.adapters.client import Client, path_to
from shared.adapters.http import Http
from shared.adapters.identity import Tokens
from shared.adapters.refusals import WORKSPACE
from shared.base.clock import Clock
from shared.base.errors import WorkspaceRefused
from shared.base.settings import PUBLIC_ARM
from shared.events.model import Workspace

#: A stable version that has all that is used here, and the one that azure-ai-ml's models are of:
#: the tests hold every request to them.
API_VERSION = "2025-12-01"

#: How much of an answer is read, in bytes: a page of a list is the longest.
BODY_MAX = 8 * 1024 * 1024


def arm_client(
    credential: Callable[[], TokenCredential],
    *,
    endpoint: str = PUBLIC_ARM,
    http: Http | None = None,
    clock: Clock | None = None,
) -> Client:
    """Return a client of ARM, as the app, for paths of resources."""
    return Client(
        WORKSPACE,
        http=http,
        clock=clock,
        tokens=Tokens(credential, endpoint.rstrip("/")),
        root=endpoint,
        query={"api-version": API_VERSION},
        most=BODY_MAX,
    )


def segments(*names: str) -> str:
    """Return the path of nested names. Raises: WorkspaceRefused for what is no name."""
    return path_to(*names, error=WorkspaceRefused)


def path_of(workspace: Workspace, *names: str) -> str:
    """Return the path of a workspace's ARM resource, or of what the names name below it."""
    return segments(
        *("subscriptions", workspace.subscription, "resourceGroups", workspace.resource_group),
        *("providers", "Microsoft.MachineLearningServices", "workspaces", workspace.name),
        *names,
    )
