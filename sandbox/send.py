"""Puts messages into a queue of a storage account, as Event Grid or a person would.

`python -m sandbox.send workspace-events event.json` puts a file's text into a queue of the Azurite
that runs here, and makes the queue if it is not there yet.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.queue import QueueClient

from sandbox.command_line import Parser


def send(connection: str, queue: str, *texts: str) -> None:
    """Put texts into a queue, as they are; make the queue if it is not there."""
    with QueueClient.from_connection_string(connection, queue, retry_total=0) as client:
        with suppress(ResourceExistsError):
            client.create_queue()
        for text in texts:
            client.send_message(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and send; return 1 when the storage did not take it, else 0."""
    options = _parser().parse_args(arguments)
    try:
        texts = [path.read_text(encoding="utf-8") for path in options.files]
    except (OSError, UnicodeDecodeError) as error:
        print(f"nothing was sent: {error}", file=sys.stderr)
        return 1
    try:
        send(options.connection, options.queue, *texts)
    except AzureError as error:
        reason = str(error).splitlines()[0]
        print(f"queue {options.queue} could not be written: {reason}", file=sys.stderr)
        return 1
    print(f"queue {options.queue} is there; {len(texts)} sent")
    return 0


def _parser() -> Parser:
    parser = Parser(prog="python -m sandbox.send", description=__doc__)
    parser.add_argument("queue")
    parser.add_argument("files", nargs="*", type=Path, help="none: the queue is only made")
    parser.add_argument(
        "--connection", default="UseDevelopmentStorage=true", help="default: Azurite's own ports"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
