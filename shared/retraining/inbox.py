"""The drift inbox: collects the signals of a monitor's window before a decision about it.

An event reports one signal. A model monitor's run has all signals, and shows whether more will
come, so it is read. Other sources have nothing to read but the event.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.base.clock import Clock
from shared.base.errors import WindowOpen, WorkspaceDenied, WorkspaceRefused
from shared.base.incoming import parse_time
from shared.events.fields import one_line
from shared.events.model import (
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Run,
    RunStatusChanged,
    Workspace,
)
from shared.events.monitors import find_drift
from shared.events.runs import find_literals, has_ended
from shared.retraining.model import SignalSeen, Window
from shared.workspaces.model import RunRecord
from shared.workspaces.ports import Runs

#: The longest wait for a monitor's run; after it the signals so far are decided about.
_PATIENCE = timedelta(hours=12)
_WAIT_MAX = timedelta(minutes=10)
#: The wait before the next look is the time since the window's event, divided by this.
_WAIT_SHARE = 2
#: More signals than any monitor has. Each costs a request.
_SIGNALS_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """Reads the windows of drift events."""

    workspaces: Runs
    clock: Clock
    wait_min: timedelta  #: The first wait for a monitor's run to end; later ones are longer.

    def read(self, event: DriftDetected) -> Window:
        """Return the window with all its signals: for a model monitor, with two requests or more.

        Raises: WindowOpen while the monitor's run has not ended, and WorkspaceError.
        """
        # No event is later than its arrival: a clock that is ahead must not make others late.
        window = _window_of(event, min(event.time, self.clock.now()))
        if event.drift.source is not DriftSource.MODEL_MONITOR:
            return window
        try:
            root = self.workspaces.get_run(event.workspace, event.drift.window)
        except (WorkspaceDenied, WorkspaceRefused):
            return window  # the app may not read runs: the event alone is better than nothing
        if root is None:
            return window
        if root.root_id not in ("", root.id):  # the event knew only the pipeline just above
            above = self.workspaces.get_run(event.workspace, root.root_id)
            root = above or root
        if not has_ended(root.status):
            self._wait(event, root)
        return self._complete(event, replace(window, id=root.id), root)

    def _wait(self, event: DriftDetected, root: RunRecord) -> None:
        open_for = self.clock.now() - event.time
        if open_for >= _PATIENCE:
            return
        wait = min(max(open_for / _WAIT_SHARE, self.wait_min), _WAIT_MAX)
        raise WindowOpen(
            f"the monitor's run {root.id} is {root.status}: its other signals are to come",
            retry_after=wait,
        )

    def _complete(self, event: DriftDetected, window: Window, root: RunRecord) -> Window:
        """Return the window with the signals of the monitor's run added."""
        signals: dict[str, SignalSeen] = {}
        start, end = window.start, window.end
        for record, literals in self._below(event.workspace, root):
            start = start or parse_time(literals.get("data_window_start", "")[:64])
            end = end or parse_time(literals.get("data_window_end", "")[:64])
            drift = _drift_of(record, event)
            if drift is None:
                continue
            name = drift.signal or one_line(literals.get("signal_name", ""))
            known = signals.get(name)
            if known is None or known.state is not DriftState.BREACH:
                signals[name] = _signal_seen(drift)
        named = {name: seen for name, seen in signals.items() if name}
        heard = {name: seen for name, seen in window.signals.items() if name or not named}
        return replace(window, signals=heard | (named or signals), start=start, end=end)

    def _below(
        self, workspace: Workspace, root: RunRecord
    ) -> Iterator[tuple[RunRecord, Mapping[str, str]]]:
        """Yield the runs below a monitor's run, each with its literal inputs."""
        yield root, _literals(root)
        left = _SIGNALS_MAX
        for child in self.workspaces.list_children(workspace, root.id):
            literals = _literals(child)
            yield child, literals
            if left and _is_signal_pipeline(child):
                left -= 1
                for step in self.workspaces.list_children(workspace, child.id):
                    yield step, {**literals, **_literals(step)}


def _window_of(event: DriftDetected, at: datetime) -> Window:
    drift = event.drift
    return Window(
        id=drift.window,
        at=at,
        start=drift.window_start,
        end=drift.window_end,
        signals={drift.signal: _signal_seen(drift)},
    )


def _signal_seen(drift: Drift) -> SignalSeen:
    return SignalSeen(state=drift.state, metrics=drift.metrics, detail=drift.detail)


def _drift_of(record: RunRecord, event: DriftDetected) -> Drift | None:
    """Return the drift that a monitor's run reports, as its own event would."""
    run = Run(
        id=record.id,
        root_id=record.root_id or record.id,
        is_root=record.root_id in ("", record.id),
        step=record.step,
        status=record.status,
        experiment_name=record.experiment,
        tags=record.tags,
        properties=record.properties,
    )
    time: datetime = record.ended_at or event.time
    found = find_drift(
        RunStatusChanged(id=record.id, time=time, workspace=event.workspace, run=run),
        is_of_monitor=not run.is_root,
    )
    return None if found is None else found.drift


def _literals(record: RunRecord) -> dict[str, str]:
    run = Run(id=record.id, root_id=record.root_id, properties=record.properties)
    literals = {key.lower(): value for key, value in record.parameters.items()}
    return find_literals(run) | literals


def _is_signal_pipeline(record: RunRecord) -> bool:
    """Say whether a run below a monitor's run is the pipeline of one signal."""
    source = {key.lower(): value for key, value in record.properties.items()}
    is_pipeline = source.get("azureml.runsource", "").lower() == "azureml.pipelinerun"
    return is_pipeline or "signal_monitor" in record.step.lower()
