"""A client of the control surface: what tests and demonstrations program the emulator with."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from sandbox.workspace.control_monitors import MonitorControl

type Json = dict[str, Any]

_CRASH_LOG = (
    "Traceback (most recent call last):",
    '  File "/var/azureml-server/entry.py", line 1, in <module>',
    "    import create_app",
    "ModuleNotFoundError: No module named 'sklearn'",
    "Worker failed to boot.",
)
_TROUBLESHOOTING = "Please see troubleshooting guide, available here: https://aka.ms/oe-tsg#error-"


class Control(MonitorControl):
    """Programs one emulator.

    Names of workspaces, endpoints, deployments, models and versions are globs and default to all.
    Methods that set a rule return its id; `times` ends it after so many uses and `duration` after
    so many emulated seconds. The rule set last wins.
    """

    def __init__(self, url: str) -> None:
        # Plain HTTP, so no certificate authorities need to be loaded.
        self._http = httpx.Client(base_url=url, timeout=30, verify=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the emulator."""
        self._http.close()

    def provisioning(self, seconds: float, operation: str = "*", **names: str) -> str:
        """Make operations take so many emulated seconds; `operation` is a glob.

        The operations are endpoint_create, endpoint_update (traffic too), endpoint_delete,
        deployment_create, deployment_update and deployment_delete.
        """
        return self.rule("provisioning", names, seconds=seconds, operation=operation)

    def latency(self, seconds: float, path: str = "*", method: str = "*") -> str:
        """Make ARM requests wait so many real seconds."""
        return self.rule("latency", {}, seconds=seconds, path=path, method=method)

    def fail_deployment(
        self,
        *,
        code: str = "ResourceNotReady",
        message: str | None = None,
        logs: Sequence[str] | None = None,
        operation: str = "deployment_[cu]*",
        times: int | None = None,
        **names: str,
    ) -> str:
        """Make creations and updates of deployments fail after they were accepted.

        The usual failure is a crash; other codes are ImageBuildFailure, OutOfCapacity and so on.
        """
        crashed = code == "ResourceNotReady"
        usual = "User container has crashed or terminated" if crashed else f"{code} happened"
        log = logs if logs is not None else _CRASH_LOG if crashed else ()
        return self.rule(
            "fail_operation",
            names,
            times=times,
            operation=operation,
            code=code,
            message=message or f"{usual}. {_TROUBLESHOOTING}{code.lower()}",
            logs=list(log),
        )

    def cancel_deployment(self, *, times: int | None = None, **names: str) -> str:
        """Make deployments end as Canceled, as a higher-priority operation would."""
        message = "The operation was canceled by another operation that has a higher priority."
        return self.rule(
            "fail_operation",
            names,
            times=times,
            code="OperationCanceled",
            message=message,
            status="Canceled",
        )

    def fail_endpoint(
        self,
        operation: str = "endpoint_update",
        *,
        code: str = "InternalServerError",
        message: str = "The operation failed.",
        times: int | None = None,
        **names: str,
    ) -> str:
        """Make operations on endpoints fail after they were accepted: by default, of traffic."""
        return self.rule(
            "fail_operation", names, times=times, operation=operation, code=code, message=message
        )

    def quota(
        self, limit: int, family: str = "*", *, times: int | None = None, **names: str
    ) -> str:
        """Set the cores of a VM family, as far as the matching deployments see."""
        return self.rule("quota", names, times=times, limit=limit, family=family)

    def throttle(
        self,
        *,
        times: int | None = None,
        duration: float | None = None,
        retry_after: int | None = 1,
        path: str = "*",
        method: str = "*",
    ) -> str:
        """Make ARM answer 429; `retry_after` is in real seconds, None leaves it out."""
        return self.rule(
            "throttle",
            {},
            times=times,
            duration=duration,
            retry_after=retry_after,
            path=path,
            method=method,
        )

    def outage(
        self,
        *,
        times: int | None = None,
        duration: float | None = None,
        status: int = 503,
        drop: bool = False,
        lose_answer: bool = False,
        path: str = "*",
        method: str = "*",
    ) -> str:
        """Make ARM answer 503 (or `status`), or drop connections without an answer.

        `drop` does so before anything is done, `lose_answer` after the request was handled.
        """
        return self.rule(
            "outage",
            {},
            times=times,
            duration=duration,
            status=status,
            drop=drop,
            lose_answer=lose_answer,
            path=path,
            method=method,
        )

    def scoring(
        self,
        *,
        error_rate: float = 0.0,
        model_status: int = 500,
        reason: str = "Internal Server Error",
        status: int | None = None,
        latency: float = 0.0,
        spread: float = 0.0,
        output: Any = None,
        times: int | None = None,
        **names: str,
    ) -> str:
        """Say how deployments answer.

        A failure is the model's (`model_status`; callers see 424), or with `status` the
        platform's. `latency` is in real seconds, the median of a log-normal distribution where
        there is a `spread`, its sigma: 0.3 makes p95 1.6 times the median. `output` replaces the
        predictions.
        """
        return self.rule(
            "scoring",
            names,
            times=times,
            error_rate=error_rate,
            model_status=model_status,
            reason=reason,
            status=status,
            latency=latency,
            spread=spread,
            output=output,
        )

    def metrics(
        self,
        *,
        unavailable: bool = False,
        status: int | None = None,
        lag: float | None = None,
        cpu: float | None = None,
        memory: float | None = None,
        times: int | None = None,
        duration: float | None = None,
        **names: str,
    ) -> tuple[str, ...]:
        """Program the behaviour of metrics; returns the ids of the rules, one for each argument.

        Reading them is answered with `status`, 503 for `unavailable` alone; they are late by `lag`
        seconds; the processors or the memory of deployments are so many percent in use, in the past
        too. A query of an endpoint's metrics is not one of any deployment's.
        """
        said: list[tuple[str, Json]] = []
        if unavailable or status is not None:
            said.append(("metrics_outage", {"status": status or 503}))
        if lag is not None:
            said.append(("metrics_lag", {"seconds": lag}))
        for resource, percent in (("cpu", cpu), ("memory", memory)):
            if percent is not None:
                said.append(("utilization", {"resource": resource, "percent": percent}))
        return tuple(
            self.rule(effect, names, times=times, duration=duration, **parameters)
            for effect, parameters in said
        )

    def training(
        self,
        *,
        experiment: str = "*",
        component: str = "",
        seconds: float = 60.0,
        queued: float = 1.0,
        outcome: str = "Completed",
        error: Json | None = None,
        metrics: Mapping[str, float | str] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        times: int | None = None,
        workspace: str = "*",
    ) -> str:
        """Say what jobs do that are submitted from now on; names are globs.

        With `component` the rule is for the steps that run it; else for whole jobs, and in a
        pipeline for its last step, which logs to the pipeline's run and tags it as well. A run is
        `queued` and then Running for so many emulated seconds, logs `metrics` ("NaN" too), sets
        `tags` on itself and ends as `outcome`: Completed, Failed with `error` (`{"code",
        "message"}`), or Canceled. One that completes leaves `files` in its outputs: texts by output
        and path, `model/MLmodel`.
        """
        return self.rule(
            "training",
            {"workspace": workspace},
            times=times,
            experiment=experiment,
            component=component,
            seconds=seconds,
            queued=queued,
            outcome=outcome,
            error=error,
            metrics=dict(metrics or {}),
            tags=dict(tags or {}),
            files=dict(files or {}),
        )

    def policy(
        self,
        *tags: str,
        is_private: bool = False,
        has_identity: bool = False,
        **names: str,
    ) -> str:
        """Have Azure Policy deny endpoints and deployments without these tags, and more."""
        return self.rule(
            "policy", names, tags=tags, is_private=is_private, has_identity=has_identity
        )

    def refuse_jobs(
        self,
        message: str = "The limit of active jobs of the workspace is reached.",
        *,
        experiment: str = "*",
        status: int = 400,
        code: str = "UserError",
        times: int | None = None,
        workspace: str = "*",
    ) -> str:
        """Refuse jobs of an experiment (glob) when they are submitted, for want of quota say."""
        return self.rule(
            "refuse_job",
            {"workspace": workspace},
            times=times,
            message=message,
            experiment=experiment,
            status=status,
            code=code,
        )

    def rule(
        self,
        effect: str,
        match: dict[str, str],
        *,
        times: int | None = None,
        duration: float | None = None,
        **parameters: Any,
    ) -> str:
        """Set a rule of any kind; returns its id."""
        rule_id = str(uuid.uuid4())
        body = {"effect": effect, "match": match, "times": times, "for": duration} | parameters
        self._send("PUT", f"/control/rules/{rule_id}", body)
        return rule_id

    def remove(self, rule_id: str) -> None:
        """Remove a rule."""
        self._send("DELETE", f"/control/rules/{rule_id}")

    def advance(self, seconds: float) -> None:
        """Let so many emulated seconds pass at once."""
        self._send("PUT", "/control/clock", {"advance": seconds})

    def speed(self, factor: float) -> None:
        """Let emulated time run so many times as fast as the real one."""
        self._send("PUT", "/control/clock", {"speed": factor})

    def now(self) -> datetime:
        """Return the emulated time."""
        return datetime.fromisoformat(self._send("GET", "/control/clock").json()["now"])

    def requests(self) -> list[Json]:
        """Return the requests to ARM and its data planes so far, refused ones too; 0 is dropped."""
        return self._list("/control/requests")

    def clear_requests(self) -> None:
        """Forget the ARM requests so far."""
        self._send("POST", "/control/requests/clear")

    def events(self) -> list[Json]:
        """Return the events raised: `event`, `state` and `attempts` of each."""
        return self._list("/control/events")

    def runs(self) -> list[Json]:
        """Return all runs, steps too, as they are now; a metric's value is text."""
        return self._list("/control/runs")

    def measurements(self, seconds: int = 60) -> list[Json]:
        """Return what each deployment answered, by the minute or so many seconds."""
        return self._list(f"/control/measurements?seconds={seconds}")

    def reset(self) -> None:
        """Empty the workspaces and forget everything but the clock."""
        self._send("POST", "/control/reset")

    def _list(self, path: str) -> list[Json]:
        items: list[Json] = self._send("GET", path).json()["value"]
        return items

    def _send(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        response = self._http.request(method, path, json=body)
        if response.is_client_error:
            raise ValueError(response.json()["error"]["message"])
        return response.raise_for_status()
