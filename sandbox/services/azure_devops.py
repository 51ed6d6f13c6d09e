"""Azure DevOps: YAML pipelines, runs of them, and the list of builds."""

import re
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.services.server import Handler, Json, Refused, Service, read_json
from sandbox.workspace.arm import ArmError
from sandbox.workspace.identity import check_token

#: Azure DevOps itself, as an Entra application.
AUDIENCE = "499b84ac-1321-427f-aa17-267ca6975798"
_API_VERSIONS = {"7.1", "7.1-preview.1", "7.0"}
_PROJECT = "/{organization}/{project}/_apis"
_SIGN_IN = "https://spsprodweu1.vssps.visualstudio.com/_signin?realm=dev.azure.com"
_PAGE = "<!DOCTYPE html><html><title>Azure DevOps Services | Sign In</title></html>"
_RUN_NAME = re.compile(r"\$\{\{\s*parameters\.(\w+)\s*\}\}")


class AzureDevOps(Service):
    """Organizations with projects with pipelines."""

    ignores_case = True

    def __init__(self, **service: Any) -> None:
        self.pipelines: dict[tuple[str, str, int], Json] = {}
        self.runs: list[Json] = []
        #: The users of the organizations; None accepts anybody who has a token for one.
        self.users: set[str] | None = None
        #: Those who may not queue.
        self.readers: set[str] = set()
        #: Whether the list of builds has the parameters of each.
        self.tells_parameters = True
        super().__init__(**service)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return the operations."""
        return [
            ("POST", f"{_PROJECT}/pipelines/{{pipeline:int}}/runs", self._run_pipeline),
            ("GET", f"{_PROJECT}/pipelines/{{pipeline:int}}/runs/{{run:int}}", self._get_run),
            ("GET", f"{_PROJECT}/build/builds", self._list_builds),
        ]

    def have(
        self,
        organization: str,
        project: str,
        pipeline: int,
        parameters: Json,
        *,
        name: str = "",
        branches: tuple[str, ...] = ("refs/heads/main",),
    ) -> None:
        """Have a pipeline: its parameters by name, each {} or `{"default": …}`, and its `name`."""
        key = (organization.lower(), project.lower(), pipeline)
        self.pipelines[key] = {"parameters": parameters, "name": name, "branches": branches}

    def finish(self, run_id: int, result: str) -> None:
        """End a run."""
        run = next(run for run in self.runs if run["id"] == run_id)
        run |= {"state": "completed", "result": result}

    def let_in(self, request: Request) -> None:
        """Check the token, the user and the version."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            raise Refused(302, _PAGE, {"Location": _SIGN_IN})
        try:
            claims = check_token(authorization, (AUDIENCE,))
        except ArmError:
            raise Refused(401, _PAGE, {"WWW-Authenticate": "Bearer"}) from None
        client = str(claims.get("appid"))
        if self.users is not None and client not in self.users:
            message = (
                f"TF400813: The user '{claims.get('oid')}' is not authorized to access this "
                "resource."
            )
            raise Refused(401, _error("UnauthorizedRequestException", message))
        if request.method == "POST" and client in self.readers:
            message = (
                f"TF215106: Access denied. {claims.get('oid')} needs Queue builds permissions for "
                "build pipeline to perform the action."
            )
            raise Refused(403, _error("AccessDeniedException", message))
        version = request.query_params.get("api-version")
        if version not in _API_VERSIONS:
            message = (
                f"The requested REST API version of {version} is out of range for this server."
            )
            raise Refused(400, _error("VssVersionOutOfRangeException", message))

    def no_route(self, request: Request, status: int) -> Refused:
        """Answer as the service does where there is no such controller."""
        message = f"The controller for path '{request.url.path}' was not found."
        return Refused(status, _error("HttpException", message))

    async def _run_pipeline(self, request: Request) -> Response:
        pipeline = self._pipeline(request)
        body = await read_json(request, _bad)
        unknown = set(body) - {
            *("resources", "templateParameters", "variables", "stagesToSkip"),
            *("previewRun", "yamlOverride"),
        }
        if unknown:
            raise _bad(f"Could not find member '{min(unknown)}'.")
        repositories = body.get("resources", {}).get("repositories", {})
        branch = repositories.get("self", {}).get("refName", "refs/heads/main")
        if branch not in pipeline["branches"]:
            raise _bad(f"Could not find branch or tag '{branch}' in the repository.")
        values = self._check(pipeline["parameters"], body.get("templateParameters", {}))
        name = _RUN_NAME.sub(lambda match: str(values[match[1]]), pipeline["name"])
        run_id = 100 + len(self.runs)
        self.runs.append(
            {
                "id": run_id,
                "key": self._key(request),
                "name": name or str(run_id),
                "state": "inProgress",
                "createdDate": datetime.now(UTC).isoformat(),
                "templateParameters": values,
                "branch": branch,
            }
        )
        return JSONResponse(self._document(request, self.runs[-1]))

    async def _get_run(self, request: Request) -> Response:
        self._pipeline(request)
        wanted = request.path_params["run"]
        for run in self.runs:
            if run["id"] == wanted and run["key"] == self._key(request):
                return JSONResponse(self._document(request, run))
        raise Refused(404, _error("RunNotFoundException", f"Run {wanted} not found."))

    async def _list_builds(self, request: Request) -> Response:
        query = request.query_params
        since = datetime.fromisoformat(query.get("minTime", "1970-01-01T00:00:00Z"))
        wanted = {int(number) for number in query.get("definitions", "").split(",") if number}
        params = request.path_params
        self._project(params["organization"], params["project"])
        place = (params["organization"].lower(), params["project"].lower())
        found = [
            run
            for run in self.runs
            if run["key"][:2] == place
            and (not wanted or run["key"][2] in wanted)
            and datetime.fromisoformat(run["createdDate"]) >= since
        ]
        if query.get("queryOrder", "").endswith("Descending"):
            found.reverse()
        start = int(query.get("continuationToken", 0))
        end = start + int(query.get("$top", 1000))
        page = found[start:end]
        headers = {"x-ms-continuationtoken": str(end)} if end < len(found) else {}
        value = [self._build(run) for run in page]
        return JSONResponse({"count": len(page), "value": value}, headers=headers)

    def _check(self, declared: Json, given: Json) -> Json:
        for name, value in given.items():
            if name not in declared:
                raise _invalid(f"Unexpected parameter '{name}'")
            if not isinstance(value, str):
                raise _bad(f"The value of '{name}' is not a string.")
        values = {name: spec["default"] for name, spec in declared.items() if "default" in spec}
        values |= given
        for name in declared:
            if name not in values:
                raise _invalid(f"A value for the '{name}' parameter must be provided.")
        return values

    def _build(self, run: Json) -> Json:
        states = {"inProgress": "inProgress", "completed": "completed"}
        build = {
            "id": run["id"],
            "buildNumber": run["name"],
            "status": states[run["state"]],
            "queueTime": run["createdDate"],
            "definition": {"id": run["key"][2]},
            "sourceBranch": run["branch"],
            "reason": "manual",
        }
        if "result" in run:
            build["result"] = run["result"]
        if self.tells_parameters:
            build["templateParameters"] = run["templateParameters"]
        return build

    def _document(self, request: Request, run: Json) -> Json:
        organization, project, pipeline = run["key"]
        root = f"{self.url}/{organization}/{project}"
        document = {
            "_links": {
                "self": {"href": f"{root}/_apis/pipelines/{pipeline}/runs/{run['id']}"},
                "web": {"href": f"{root}/_build/results?buildId={run['id']}"},
            },
            "pipeline": {"id": pipeline, "revision": 1, "name": "retrain", "folder": "\\"},
            "state": run["state"],
            "createdDate": run["createdDate"],
            "url": f"{root}/_apis/pipelines/{pipeline}/runs/{run['id']}",
            "resources": {"repositories": {"self": {"refName": run["branch"]}}},
            "id": run["id"],
            "name": run["name"],
        }
        if "result" in run:
            document["result"] = run["result"]
        return document

    def _pipeline(self, request: Request) -> Json:
        params = request.path_params
        self._project(params["organization"], params["project"])
        pipeline = self.pipelines.get(self._key(request))
        if pipeline is None:
            message = f"Pipeline {params['pipeline']} not found."
            raise Refused(404, _error("PipelineNotFoundException", message))
        return pipeline

    def _project(self, organization: str, project: str) -> None:
        if not any(key[:2] == (organization.lower(), project.lower()) for key in self.pipelines):
            message = f"TF200016: The following project does not exist: {project}."
            raise Refused(404, _error("ProjectDoesNotExistWithNameException", message))

    def _key(self, request: Request) -> tuple[str, str, int]:
        params = request.path_params
        return (params["organization"].lower(), params["project"].lower(), params["pipeline"])


def _bad(message: str) -> Refused:
    return Refused(400, _error("InvalidRequestException", message))


def _invalid(message: str) -> Refused:
    return Refused(400, _error("PipelineValidationException", f"/azure-pipelines.yml: {message}"))


def _error(key: str, message: str) -> Json:
    return {
        "$id": "1",
        "innerException": None,
        "message": message,
        "typeName": f"Microsoft.Azure.Pipelines.WebApi.{key}, Microsoft.Azure.Pipelines.WebApi",
        "typeKey": key,
        "errorCode": 0,
        "eventId": 3000,
    }
