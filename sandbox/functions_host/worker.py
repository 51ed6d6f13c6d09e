"""The worker process: the real Python worker library, driven over a socket instead of gRPC.

Started by the host as `python -m sandbox.functions_host.worker`, in the app's folder.
"""

import asyncio
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime

from sandbox.command_line import Parser
from sandbox.functions_host import protocol, protos

#: The library logs two lines per invocation at INFO; the real host files them apart from the app's.
_LIBRARY_LOGGER = "azure.functions"


async def serve(sock: socket.socket) -> None:
    """Index the app, then run the host's invocations until the process is asked to end."""
    runtime.start_threadpool_executor()
    sock.sendall(protocol.encode(await _index(os.getcwd())))
    loop = asyncio.get_running_loop()
    running: set[asyncio.Task[None]] = set()

    def begin(message: protocol.Message) -> None:
        task = loop.create_task(_answer(sock, message))
        running.add(task)
        task.add_done_callback(running.discard)

    def listen() -> None:
        for message in protocol.messages(sock):
            loop.call_soon_threadsafe(begin, message)
        # The host is gone. A function that blocks the loop or a thread must not outlive it.
        os._exit(0)

    threading.Thread(target=listen, name="host-listener", daemon=True).start()
    await asyncio.Event().wait()


async def _index(app_dir: str) -> protocol.Message:
    init = SimpleNamespace(capabilities={}, function_app_directory=app_dir)
    response = await runtime.worker_init_request(_request(worker_init_request=init))
    if response.result.status == protos.StatusResult.Failure:
        raised = response.result.exception
        return {"type": "failed", "message": raised.message, "stack_trace": raised.stack_trace}
    answer = await runtime.functions_metadata_request(_request())
    found = answer.function_metadata_results or []
    for function in found:
        load = SimpleNamespace(function_id=function.function_id)
        await runtime.function_load_request(_request(function_load_request=load))
    functions = [
        {"name": each.name, "id": each.function_id, "bindings": each.raw_bindings} for each in found
    ]
    return {"type": "started", "functions": functions}


async def _answer(sock: socket.socket, message: protocol.Message) -> None:
    runtime.invocation_id_cv.set(message["id"])
    response = await runtime.invocation_request(_request(invocation_request=_invocation(message)))
    answer: protocol.Message = {"type": "result", "id": message["id"], "error": None}
    if response.result.status == protos.StatusResult.Failure:
        raised = response.result.exception
        answer["error"] = {"message": raised.message, "stack_trace": raised.stack_trace}
    else:
        answer["return_value"] = protos.wire_value(response.return_value)
    sock.sendall(protocol.encode(answer))


def _invocation(message: protocol.Message) -> SimpleNamespace:
    data = protos.ParameterBinding(name=message["input"], data=protos.typed_data(message["data"]))
    metadata = {name: protos.typed_data(value) for name, value in message["metadata"].items()}
    trace = SimpleNamespace(
        trace_parent=message["trace"].get("traceparent", ""),
        trace_state=message["trace"].get("tracestate", ""),
        attributes={},
    )
    return SimpleNamespace(
        invocation_id=message["id"],
        function_id=message["function_id"],
        input_data=[data],
        trigger_metadata=metadata,
        trace_context=trace,
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )


def _request(**message: Any) -> SimpleNamespace:
    properties = {"host": "127.0.0.1", "protos": protos}
    return SimpleNamespace(request=SimpleNamespace(**message), properties=properties)


def _hide_host_code() -> None:
    """Leave only the app's own folder importable, as where the host's code is not installed."""
    root = str(Path(__file__).parents[2])
    sys.path[1:] = [entry for entry in sys.path[1:] if entry != root]
    # After the host's own entry comes that of the app's settings, if there is one.
    _, _, of_app = os.environ.pop("PYTHONPATH").partition(os.pathsep)
    if of_app:
        os.environ["PYTHONPATH"] = of_app


def main() -> None:
    """Run the worker on the socket whose number the host passed."""
    parser = Parser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if options.log_level != "DEBUG":
        logging.getLogger(_LIBRARY_LOGGER).setLevel(logging.WARNING)
    _hide_host_code()
    sock = socket.socket(fileno=options.socket)
    sock.set_inheritable(False)
    asyncio.run(serve(sock))


if __name__ == "__main__":
    main()
