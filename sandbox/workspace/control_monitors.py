"""The part of the control client about model monitors, schedules and batch endpoints."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

type Json = dict[str, Any]


class MonitorControl(ABC):
    """The part of `Control` for monitors, schedules and batch endpoints."""

    @abstractmethod
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

    @abstractmethod
    def _send(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        """Send a request to the control surface; raises ValueError if it is refused."""

    def monitor_run(
        self,
        monitor: str,
        *,
        signals: Mapping[str, Any] | None = None,
        workspace: str | None = None,
        **options: Any,
    ) -> Json:
        """Start the run of a model monitor, which need not have a schedule.

        A signal is a list of `{metric_name, metric_value, threshold_value, group}`, "no data", or
        an object with `metrics`, `kind` (data_drift, …) and `error` (a text, or code and message).
        The options: `window_start`, `window_end` and `at` (when it was due), `emails`,
        `experiment` (else named like the monitor), `seconds` that each step takes,
        `fail_on_breach`, `repeat_events` (how often events of evaluations are raised again),
        `every_step` of the components, `tell_root=False`.

        Returns `{"run": id, "preprocessors": [id], "signals": {name: {"pipeline": id,
        "evaluation": id}}}`.
        """
        body = {
            "monitor": monitor,
            "workspace": workspace,
            "signals": {} if signals is None else signals,
        }
        report: Json = self._send("POST", "/control/monitor-runs", body | _plain(options)).json()
        return report

    def monitor_finds(
        self,
        monitor: str = "*",
        *,
        signals: Mapping[str, Any],
        times: int | None = None,
        workspace: str = "*",
        **options: Any,
    ) -> str:
        """Program the findings of a monitor's triggered runs (glob), as for `monitor_run`."""
        return self.rule(
            "monitor_finding",
            {"workspace": workspace},
            times=times,
            monitor=monitor,
            finding={"signals": dict(signals)} | _plain(options),
        )

    def trigger(self, schedule: str, *, workspace: str | None = None, **options: Any) -> str:
        """Do once what an enabled schedule does; returns the name of the job.

        `at` is when it was due; a monitor takes the other options of `monitor_run`, too.
        """
        body = {"workspace": workspace} | _plain(options)
        answer = self._send("POST", f"/control/schedules/{schedule}/trigger", body).json()
        return str(answer["job"])

    def batch_invocations(
        self,
        *,
        keep_name: bool = False,
        keep_tags: bool = True,
        know_repeats: bool = True,
        times: int | None = None,
        **names: str,
    ) -> str:
        """Set the fields that batch endpoints respect: a job's name and tags, a request's id."""
        return self.rule(
            "batch_invocation",
            names,
            times=times,
            keeps_name=keep_name,
            keeps_tags=keep_tags,
            knows_repeats=know_repeats,
        )

    def dataset_drift(
        self,
        name: str = "drift-monitor",
        *,
        coefficient: float = 0.5,
        workspace: str | None = None,
        **options: Any,
    ) -> Json:
        """Raise the event of a dataset monitor (SDK v1) that saw drift; returns the event.

        The options: `window_start`, `window_end`, `id`, `run_id`, `base_dataset`,
        `target_dataset`, `repeat_events`.
        """
        body = {"name": name, "coefficient": coefficient, "workspace": workspace}
        event: Json = self._send("POST", "/control/dataset-drifts", body | _plain(options)).json()
        return event


def _plain(options: Json) -> Json:
    """Write moments as JSON can hold them."""
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in options.items()}
