"""Prints the messages that are posted to it, and answers 200: the other end of a channel.

`python -m sandbox.listen` listens on port 9000, at any path.
"""

import json
import signal
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sandbox.command_line import Parser


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        print(f"{self.path}: {_shown(body)}", flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print the bodies only."""


def _shown(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen until SIGINT or SIGTERM; return 1 when the port can't be had, else 0."""
    parser = Parser(prog="python -m sandbox.listen", description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="0 picks one; default 9000")
    options = parser.parse_args(arguments)
    endings = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    try:
        made = ThreadingHTTPServer(("127.0.0.1", options.port), _Handler)
    except (OSError, OverflowError) as error:
        print(f"cannot listen on port {options.port}: {error}; try --port", file=sys.stderr)
        return 1
    with made as server:
        print(f"http://localhost:{server.server_address[1]}", flush=True)
        threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()
        signal.sigwait(endings)
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
