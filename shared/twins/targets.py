"""Targets in memory: each submission starts one run."""

from collections.abc import Callable
from typing import Any

from shared.retraining.targets import Submission, Submitted, TargetRun, TargetStatus


class MemoryTargets:
    """Every kind of target; a run of each submission is named as an AML job would be."""

    def __init__(self) -> None:
        #: Called before each request with its name; may raise an error of a target.
        self.before: Callable[[str], None] = lambda _: None
        #: The submissions that were started, by their id.
        self.started: dict[str, Submission] = {}
        #: The runs that tests set, by the submission's id; others are RUNNING.
        self.runs: dict[str, TargetRun] = {}
        #: The values of the targets that were asked to start a run, repeated ones included.
        self.params: list[Any] = []
        #: The number of submissions, repeated ones included.
        self.submissions = 0

    def get(self, name: str) -> "MemoryTargets":
        """Return the target of this name: this one."""
        return self

    def submit(self, params: Any, submission: Submission) -> Submitted:
        """Start a run, or find the one that was started for this submission before."""
        self.before("submit")
        self.submissions += 1
        self.params.append(params)
        found = submission.id in self.started
        self.started.setdefault(submission.id, submission)
        self.before("submitted")  # the answer may be lost
        return Submitted(run_id=submission.name, link="", found=found)

    def look(self, params: Any, submission: Submission, run_id: str) -> TargetRun:
        """Return the status of a run."""
        self.before("look")
        return self.runs.get(submission.id, TargetRun(status=TargetStatus.RUNNING))
