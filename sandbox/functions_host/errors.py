"""What can go wrong in the host, as its callers need to tell it apart."""


class HostError(Exception):
    """The host cannot run this app as it is configured; the message says what to change."""


class InvocationFailed(Exception):
    """The function raised; the text is the worker's message, `stack_trace` its Python trace."""

    def __init__(self, message: str, stack_trace: str = "") -> None:
        super().__init__(message)
        self.stack_trace = stack_trace

    def public_text(self, function: str) -> str:
        """Return what the real host tells the caller of it: not what the function raised."""
        return f"Exception while executing function: Functions.{function}"


class WorkerExited(InvocationFailed):
    """The worker process ended while the function ran: nobody knows how far it came."""


class FunctionTimedOut(InvocationFailed):
    """The function ran longer than host.json's `functionTimeout`; its worker was killed."""

    def public_text(self, function: str) -> str:
        """Return what the real host tells the caller of it."""
        return f"{self}: Functions.{function}"


class WorkerReplaced(InvocationFailed):
    """The worker was killed because another function of it ran too long."""
