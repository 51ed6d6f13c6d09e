"""Targets in memory: they take what is submitted, once for each submission."""

from collections.abc import Callable
from typing import Any

from shared.retraining.targets import Submission, Submitted, TargetRun, TargetStatus


class MemoryTargets:
    """Every kind of target; a run of each submission is named as an AML job would be."""

    def __init__(self) -> None:
        #: Called before each request with its name; may raise what a target would.
        self.before: Callable[[str], None] = lambda _: None
        #: What was started, by the submission's id, each once.
        self.started: dict[str, Submission] = {}
        #: Where runs stand, by the submission's id; RUNNING where nothing is said.
        self.runs: dict[str, TargetRun] = {}
        #: How often something was submitted, found or not.
        self.submissions = 0

    def get(self, name: str) -> "MemoryTargets":
        """Return the target of this name: this one."""
        return self

    def submit(self, params: Any, submission: Submission) -> Submitted:
        """Start it, or find what was started for this submission before."""
        self.before("submit")
        self.submissions += 1
        found = submission.id in self.started
        self.started.setdefault(submission.id, submission)
        self.before("submitted")  # the answer may be lost
        return Submitted(run_id=submission.name, link="", found=found)

    def look(self, params: Any, submission: Submission, run_id: str) -> TargetRun:
        """Return where it stands."""
        self.before("look")
        return self.runs.get(submission.id, TargetRun(status=TargetStatus.RUNNING))
