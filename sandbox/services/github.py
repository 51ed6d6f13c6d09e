"""GitHub Actions: dispatches of workflows and of repositories, and the runs that they make."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.services.server import Handler, Json, Refused, Service, read_json

_REPOSITORY = "/repos/{owner}/{repo}"
_API_VERSIONS = {"2022-11-28", "2026-03-10"}
_DOCS = "https://docs.github.com/rest"
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+)\s*\}\}")
_INPUTS_MAX = 25
_PAYLOAD_MAX = 64 * 1024


class GitHub(Service):
    """Repositories with workflows.

    `knows_run_details` is whether the server is of 2026 or later, and takes
    `return_run_details`.
    """

    def __init__(self, *, knows_run_details: bool = True, **service: Any) -> None:
        self.knows_run_details = knows_run_details
        #: The permissions of each token: `actions:read`, `actions:write`, `contents:write`.
        self.tokens: dict[str, set[str]] = {}
        self.repositories: dict[str, dict[str, Json]] = {}
        self.runs: list[Json] = []
        super().__init__(**service)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return the operations."""
        actions = f"{_REPOSITORY}/actions"
        return [
            ("POST", f"{_REPOSITORY}/dispatches", self._dispatch_repository),
            ("POST", f"{actions}/workflows/{{workflow}}/dispatches", self._dispatch_workflow),
            ("GET", f"{actions}/workflows/{{workflow}}/runs", self._list_runs),
            ("GET", f"{actions}/runs", self._list_runs),
            ("GET", f"{actions}/runs/{{run:int}}", self._get_run),
        ]

    def have(
        self,
        repository: str,
        workflow: str,
        *,
        inputs: Json | None = None,
        types: tuple[str, ...] = (),
        run_name: str = "",
        refs: tuple[str, ...] = ("main",),
    ) -> None:
        """Have a workflow: on workflow_dispatch with `inputs`, on repository_dispatch of `types`.

        An input is {} or `{"required": True}` or `{"default": …}`.
        """
        self.repositories.setdefault(repository.lower(), {})[workflow] = {
            "inputs": inputs,
            "types": types,
            "run_name": run_name,
            "refs": refs,
        }

    def finish(self, run_id: int, conclusion: str) -> None:
        """End a run."""
        run = next(run for run in self.runs if run["id"] == run_id)
        run |= {"status": "completed", "conclusion": conclusion}

    def let_in(self, request: Request) -> None:
        """Check user agent, version and token."""
        if not request.headers.get("user-agent"):
            raise Refused(403, "Request forbidden by administrative rules.")
        version = request.headers.get("x-github-api-version", "2022-11-28")
        if version not in _API_VERSIONS:
            raise _refused(400, f"{version} is not a supported version.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() not in ("bearer", "token") or token not in self.tokens:
            raise _refused(401, "Bad credentials")

    def no_route(self, request: Request, status: int) -> Refused:
        """Answer as GitHub: an absent resource is not found, with any method."""
        return _refused(404, "Not Found")

    async def _dispatch_workflow(self, request: Request) -> Response:
        name, workflow = self._workflow(request)
        self._may(request, "actions:write")
        body = await read_json(request, _unread)
        known = {"ref", "inputs"} | ({"return_run_details"} if self.knows_run_details else set())
        if unknown := sorted(set(body) - known):
            raise _invalid(f'"{unknown[0]}" is not a permitted key.')
        if not isinstance(body.get("ref"), str):
            raise _invalid('"ref" wasn\'t supplied.')
        if workflow["inputs"] is None:
            raise _refused(422, "Workflow does not have 'workflow_dispatch' trigger")
        if body["ref"] not in workflow["refs"]:
            raise _refused(422, f"No ref found for: {body['ref']}")
        values = _check_inputs(workflow["inputs"], body.get("inputs", {}))
        run = self._start(request, name, workflow, "workflow_dispatch", {"inputs": values})
        if not body.get("return_run_details"):
            return Response(status_code=204)
        return JSONResponse(
            {"workflow_run_id": run["id"], "run_url": run["url"], "html_url": run["html_url"]}
        )

    async def _dispatch_repository(self, request: Request) -> Response:
        workflows = self._repository(request)
        self._may(request, "contents:write")
        body = await read_json(request, _unread)
        if unknown := sorted(set(body) - {"event_type", "client_payload"}):
            raise _invalid(f'"{unknown[0]}" is not a permitted key.')
        kind, payload = body.get("event_type"), body.get("client_payload", {})
        if not isinstance(kind, str) or not 0 < len(kind) <= 100:
            raise _invalid('"event_type" wasn\'t supplied.')
        if not isinstance(payload, dict) or len(payload) > 10:
            raise _invalid("No more than 10 properties are allowed; 11 were supplied.")
        if len(json.dumps(payload)) >= _PAYLOAD_MAX:
            raise _invalid("client_payload is too large.")
        for name, workflow in workflows.items():
            if kind in workflow["types"]:
                event = {"github": {"event": {"client_payload": payload}}}
                self._start(request, name, workflow, "repository_dispatch", event)
        return Response(status_code=204)

    async def _list_runs(self, request: Request) -> Response:
        self._repository(request)
        self._may(request, "actions:read")
        query, params = request.query_params, request.path_params
        if "workflow" in params:
            self._workflow(request)
        since = datetime.fromisoformat(query.get("created", ">=1970-01-01T00:00:00Z")[2:])
        found = [
            run
            for run in reversed(self.runs)
            if run["repository"] == self._key(request)
            and params.get("workflow", run["path"]) == run["path"]
            and query.get("event", run["event"]) == run["event"]
            and datetime.fromisoformat(run["created_at"]) >= since
        ]
        size, page = min(int(query.get("per_page", 30)), 100), int(query.get("page", 1))
        runs = found[(page - 1) * size : page * size]
        return JSONResponse({"total_count": len(found), "workflow_runs": runs})

    async def _get_run(self, request: Request) -> Response:
        self._repository(request)
        self._may(request, "actions:read")
        for run in self.runs:
            if (run["id"], run["repository"]) == (request.path_params["run"], self._key(request)):
                return JSONResponse(run)
        raise _refused(404, "Not Found")

    def _start(
        self, request: Request, name: str, workflow: Json, event: str, context: Json
    ) -> Json:
        run_id = 9_000_000_000 + len(self.runs)
        title = _EXPRESSION.sub(lambda match: _look_up(context, match[1]), workflow["run_name"])
        repository = self._key(request)
        run = {
            "id": run_id,
            "name": name,
            "display_title": title or name,
            "path": name,
            "event": event,
            "status": "queued",
            "conclusion": None,
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "url": f"{self.url}/repos/{repository}/actions/runs/{run_id}",
            "html_url": f"https://github.com/{repository}/actions/runs/{run_id}",
            "repository": repository,
            "context": context,
        }
        self.runs.append(run)
        return run

    def _may(self, request: Request, what: str) -> None:
        token = request.headers["authorization"].partition(" ")[2]
        if what not in self.tokens[token]:
            raise _refused(403, "Resource not accessible by personal access token")

    def _workflow(self, request: Request) -> tuple[str, Json]:
        workflows, name = self._repository(request), request.path_params["workflow"]
        if name not in workflows:
            raise _refused(404, "Not Found")
        return name, workflows[name]

    def _repository(self, request: Request) -> dict[str, Json]:
        workflows = self.repositories.get(self._key(request))
        if workflows is None:
            raise _refused(404, "Not Found")
        return workflows

    def _key(self, request: Request) -> str:
        return "{owner}/{repo}".format(**request.path_params).lower()


def _check_inputs(declared: Json, given: Any) -> Json:
    if not isinstance(given, dict) or len(given) > _INPUTS_MAX:
        raise _invalid(f"inputs takes at most {_INPUTS_MAX} properties.")
    if unknown := sorted(set(given) - set(declared)):
        raise _refused(422, f"Unexpected inputs provided: {json.dumps(unknown)}")
    for name, value in given.items():
        if not isinstance(value, str):
            raise _invalid(f'For "inputs.{name}", {value!r} is not a string.')
    for name, spec in declared.items():
        if spec.get("required") and name not in given and "default" not in spec:
            raise _refused(422, f"Required input '{name}' not provided")
    return {name: spec["default"] for name, spec in declared.items() if "default" in spec} | given


def _look_up(context: Mapping[str, Any], path: str) -> str:
    value: Any = context
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return str(value)


def _unread(message: str) -> Refused:
    return _refused(400, message)


def _invalid(message: str) -> Refused:
    return _refused(422, f"Invalid request.\n\n{message}")


def _refused(status: int, message: str) -> Refused:
    body = {"message": message, "documentation_url": _DOCS, "status": str(status)}
    return Refused(status, body)
