"""Errors of the host, one class for each that callers handle in their own way."""


class HostError(Exception):
    """The host cannot run this app as it is configured; the message says what to change."""


class InvocationFailed(Exception):
    """The function raised; the text is the worker's message, `stack_trace` its Python trace."""

    def __init__(self, message: str, stack_trace: str = "") -> None:
        super().__init__(message)
        self.stack_trace = stack_trace

    def public_text(self, function: str) -> str:
        """Return the real host's text for the caller, without the function's error."""
        return f"Exception while executing function: Functions.{function}"


class WorkerExited(InvocationFailed):
    """The worker process ended while the function ran; its progress is unknown."""


class FunctionTimedOut(InvocationFailed):
    """The function ran longer than host.json's `functionTimeout`; its worker was killed."""

    def public_text(self, function: str) -> str:
        """Return the real host's text for the caller."""
        return f"{self}: Functions.{function}"


class WorkerReplaced(InvocationFailed):
    """The worker was killed because another function of it ran too long."""
