"""Serve a function app from the command line, until interrupted."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from sandbox.command_line import Parser
from sandbox.functions_host.errors import HostError
from sandbox.functions_host.functions import EVENT_GRID
from sandbox.functions_host.host import FunctionsHost
from sandbox.functions_host.settings import load_local_settings


def main() -> int:
    """Return the exit code: 1 when the app cannot be served, else 0."""
    options = _parse_arguments()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    logging.basicConfig(level=logging.WARNING, format="host: %(message)s")
    path = options.settings or options.app_dir / "local.settings.json"
    try:
        settings = load_local_settings(path) if options.settings or path.exists() else {}
        host = FunctionsHost(
            options.app_dir,
            settings,
            options.port,
            log=print,
            log_level=options.log_level,
            on_end=ended.set,
        )
        with host:
            _print_functions(host)
            ended.wait()
            host.stop(drain=True)
    except HostError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m sandbox.functions_host", description=__doc__)
    parser.add_argument("app_dir", type=Path, help="the folder with function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071, help="0 = any free one; default 7071")
    parser.add_argument("--settings", type=Path, help="default: the app's local.settings.json")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING"))
    return parser.parse_args()


def _print_functions(host: FunctionsHost) -> None:
    print(f"{host.url}  (function key {host.function_key}, master key {host.master_key})")
    for name, bindings in host.functions().items():
        kinds = [binding["type"] for binding in bindings]
        print(f"  {name}: {', '.join(kinds)}")
        if EVENT_GRID in kinds:
            print(f"    {host.event_grid_url(name)}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
