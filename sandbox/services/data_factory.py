"""Azure Data Factory: pipelines that are declared, runs of them, and the query for runs."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.services.server import Handler, Json, Refused, Service, read_json
from sandbox.workspace.arm import ArmError
from sandbox.workspace.identity import ARM_AUDIENCES, check_token

_API_VERSION = "2018-06-01"
_FACTORY = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.DataFactory/factories/{factory}"
)
_PIPELINE = re.compile(r"[A-Za-z0-9_][^<>*#.%&:\\+?/]*")
_OPERANDS = {"PipelineName", "Status", "RunStart", "RunEnd", "LatestOnly"}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "array": (list,),
    "object": (dict,),
}


class DataFactory(Service):
    """One subscription's factories.

    `undeclared` says whether a parameter that a pipeline does not declare is refused or dropped,
    which is not documented.
    """

    ignores_case = True

    def __init__(self, *, undeclared: str = "refuse", page: int = 100, **service: Any) -> None:
        self.undeclared = undeclared
        self.page = page
        self.factories: dict[str, dict[str, Json]] = {}
        self.runs: list[Json] = []
        #: The identities that may start and read; None accepts anybody who has a token.
        self.operators: set[str] | None = None
        super().__init__(**service)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return the operations."""
        return [
            ("GET", f"{_FACTORY}/pipelines/{{pipeline}}", self._get_pipeline),
            ("POST", f"{_FACTORY}/pipelines/{{pipeline}}/createRun", self._create_run),
            ("POST", f"{_FACTORY}/queryPipelineRuns", self._query_runs),
            ("GET", f"{_FACTORY}/pipelineruns/{{run}}", self._get_run),
        ]

    def have(self, factory: str, pipeline: str, parameters: Json) -> None:
        """Publish a pipeline: parameters by name, each `{"type": …, "defaultValue": …}`."""
        self.factories.setdefault(factory.lower(), {})[pipeline] = parameters

    def finish(self, run_id: str, status: str, message: str = "") -> None:
        """Set the status of a run."""
        run = next(run for run in self.runs if run["runId"] == run_id)
        run |= {"status": status, "message": message, "lastUpdated": _now()}

    def let_in(self, request: Request) -> None:
        """Check token, role and version, as Resource Manager does."""
        try:
            claims = check_token(request.headers.get("authorization"), (self.url, *ARM_AUDIENCES))
        except ArmError as error:
            raise Refused(error.status, error.body, error.headers) from None
        client = str(claims.get("appid"))
        if self.operators is not None and client not in self.operators:
            message = (
                f"The client '{client}' with object id '{claims.get('oid')}' does not have "
                f"authorization to perform action over scope '{request.url.path}'."
            )
            raise Refused(403, _error("AuthorizationFailed", message))
        if request.query_params.get("api-version") != _API_VERSION:
            message = f"The api-version '{request.query_params.get('api-version')}' is invalid."
            raise Refused(400, _error("InvalidApiVersionParameter", message))

    def no_route(self, request: Request, status: int) -> Refused:
        """Answer as Resource Manager."""
        code = "MethodNotAllowed" if status == 405 else "InvalidResourceType"
        return Refused(status, _error(code, f"{request.method} {request.url.path}"))

    async def _get_pipeline(self, request: Request) -> Response:
        name, declared = self._pipeline(request)
        return JSONResponse(
            {
                "id": request.url.path,
                "name": name,
                "type": "Microsoft.DataFactory/factories/pipelines",
                "etag": "0",
                "properties": {"activities": []} | ({"parameters": declared} if declared else {}),
            }
        )

    async def _create_run(self, request: Request) -> Response:
        name, declared = self._pipeline(request)
        given = await read_json(request, _bad) if await request.body() else {}
        self._check(name, declared, given)
        kept = {key: value for key, value in given.items() if key in declared}
        defaults = {
            key: spec["defaultValue"] for key, spec in declared.items() if "defaultValue" in spec
        }
        run_id = str(uuid.uuid4())
        self.runs.append(
            {
                "runId": run_id,
                "runGroupId": run_id,
                "isLatest": True,
                "pipelineName": name,
                "parameters": {key: _as_text(value) for key, value in (defaults | kept).items()},
                "invokedBy": {"id": uuid.uuid4().hex, "name": "Manual"},
                "runStart": _now(),
                "lastUpdated": _now(),
                "status": "InProgress",
                "message": "",
                "factory": self._factory_id(request),
            }
        )
        return JSONResponse({"runId": run_id})

    async def _query_runs(self, request: Request) -> Response:
        self._factory(request)
        body = await read_json(request, _bad)
        after, before = (_time(body, f"lastUpdated{word}") for word in ("After", "Before"))
        found = [
            run
            for run in self.runs
            if run["factory"] == self._factory_id(request)
            and after <= datetime.fromisoformat(run["lastUpdated"]) <= before
            and all(_matches(run, rule) for rule in body.get("filters", []))
        ]
        for order in body.get("orderBy", []):
            key = {"RunStart": "runStart", "Status": "status"}[order["orderBy"]]
            found.sort(key=lambda run: run[key], reverse=order["order"] == "DESC")
        start = int(body.get("continuationToken") or 0)
        page = {"value": [_document(run) for run in found[start : start + self.page]]}
        if start + self.page < len(found):
            page["continuationToken"] = str(start + self.page)
        return JSONResponse(page)

    async def _get_run(self, request: Request) -> Response:
        self._factory(request)
        wanted = request.path_params["run"]
        for run in self.runs:
            if run["runId"] == wanted and run["factory"] == self._factory_id(request):
                return JSONResponse(_document(run))
        raise Refused(404, _error("PipelineRunNotFound", f"Pipeline run {wanted} not found."))

    def _check(self, name: str, declared: Json, given: Json) -> None:
        unknown = sorted(set(given) - set(declared))
        if unknown and self.undeclared == "refuse":
            raise _bad(f"The parameters {unknown} are not defined in pipeline '{name}'.")
        for key, spec in declared.items():
            if key not in given and "defaultValue" not in spec:
                raise _bad(f"The value for parameter '{key}' of '{name}' is not provided.")
            kind = str(spec.get("type", "string")).lower()
            value = given.get(key)
            is_bool = isinstance(value, bool)
            if key in given and (
                not isinstance(value, _TYPES.get(kind, (object,))) or (is_bool and kind != "bool")
            ):
                raise _bad(f"The value of parameter '{key}' is no {kind}.")

    def _pipeline(self, request: Request) -> tuple[str, Json]:
        pipelines = self._factory(request)
        name = request.path_params["pipeline"]
        if _PIPELINE.fullmatch(name) is None:
            raise _bad(f"The pipeline name '{name}' is invalid.")
        if name not in pipelines:
            message = f"Entity pipeline/{name} not found."
            raise Refused(404, _error("EntityNotFound", message, f"pipeline/{name}"))
        return name, pipelines[name]

    def _factory(self, request: Request) -> dict[str, Json]:
        pipelines = self.factories.get(self._factory_id(request))
        if pipelines is None:
            message = f"The Resource '{self._factory_id(request)}' was not found."
            raise Refused(404, _error("ResourceNotFound", message))
        return pipelines

    def _factory_id(self, request: Request) -> str:
        return _FACTORY.format(**request.path_params).lower()


def _matches(run: Json, rule: Json) -> bool:
    if rule.get("operand") not in _OPERANDS or rule.get("operator") not in {"Equals", "In"}:
        raise _bad(f"The filter {rule} is invalid.")
    key = {"PipelineName": "pipelineName", "Status": "status"}.get(rule["operand"], "")
    return run.get(key) in rule["values"]


def _document(run: Json) -> Json:
    return {key: value for key, value in run.items() if key != "factory"}


def _as_text(value: Any) -> str:
    # Runs have every parameter as text.
    return str(value) if not isinstance(value, dict | list) else repr(value)


def _time(body: Json, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(body[name])
    except (KeyError, TypeError, ValueError):
        raise _bad(f"{name} is required, in ISO 8601.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _bad(message: str) -> Refused:
    return Refused(400, _error("BadRequest", message))


def _error(code: str, message: str, target: str = "") -> Json:
    return {"error": {"code": code, "message": message, "target": target, "details": None}}
