"""A small Azure Functions host around the real Python worker library."""

from sandbox.functions_host.errors import (
    FunctionTimedOut,
    HostError,
    InvocationFailed,
    WorkerExited,
)
from sandbox.functions_host.host import FunctionsHost
from sandbox.functions_host.keys import Keys
from sandbox.functions_host.supervisor import InvocationCounts

__all__ = [
    "FunctionTimedOut",
    "FunctionsHost",
    "HostError",
    "InvocationCounts",
    "InvocationFailed",
    "Keys",
    "WorkerExited",
]
