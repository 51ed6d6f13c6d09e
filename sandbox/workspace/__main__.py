"""Run the emulator until a signal stops it; its addresses are printed as one line of JSON."""

import argparse
import json
import signal
from contextlib import ExitStack
from pathlib import Path

from sandbox.azurite import Azurite
from sandbox.command_line import Parser
from sandbox.workspace.server import WorkspaceEmulator
from sandbox.workspace.settings import Settings


def main() -> None:
    """Parse the command line, serve, and end on SIGINT or SIGTERM."""
    arguments = vars(_parser().parse_args())
    arguments["workspaces"] = tuple(arguments["workspaces"]) or ("workspace",)
    for clusters in arguments.keys() & {"computes", "kubernetes"}:
        arguments[clusters] = tuple(arguments[clusters])
    arguments["quotas"] = {family: int(cores) for family, cores in arguments["quotas"]}
    endings = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, endings)
    with ExitStack() as parts:
        if arguments.pop("storage", False):
            arguments["storage"] = parts.enter_context(Azurite()).workspace_account
        emulator = parts.enter_context(WorkspaceEmulator(Settings(**arguments)))
        addresses = {
            "url": emulator.url,
            "identity_url": emulator.identity_url,
            "control_url": emulator.control_url,
            "proxy_url": emulator.proxy_url,
            "ca_path": str(emulator.ca_path),
            "environment": emulator.environment(),
        }
        print(json.dumps(addresses), flush=True)
        signal.sigwait(endings)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m sandbox.workspace",
        description=__doc__,
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--port", type=int, help="https port of ARM and scoring; 0 picks one")
    add("--control-port", type=int, help="http port of identity and control; 0 picks one")
    add("--proxy-port", type=int, help="port of the https proxy; 0 picks one")
    add("--storage", action="store_true", help="start Azurite, for uploads and downloads")
    add("--ca-folder", type=Path, required=True, help="where the CA's PEM is written")
    add("--workspace", dest="workspaces", action="append", default=[], help="repeatable")
    add("--compute", dest="computes", action="append", help="a cluster to have; repeatable")
    add("--kubernetes", action="append", help="an attached cluster to have; repeatable")
    add("--subscription")
    add("--resource-group")
    add("--location")
    add("--tenant")
    add("--identity-header", help="what clients must send as X-IDENTITY-HEADER")
    add("--topic-url", help="where events are posted")
    add("--topic-key", help="sent as aeg-sas-key")
    add("--publish-model-deployed", action="store_true")
    add("--speed", type=float, help="emulated seconds per real second")
    add("--metrics-lag", type=float, help="seconds until a minute's metrics can be read")
    add("--real-time-metrics", action="store_true", help="keep metrics on the world's clock")
    add("--seed", type=int)
    add(
        "--quota",
        dest="quotas",
        metavar="FAMILY=CORES",
        type=lambda text: text.split("=", 1),
        action="append",
        default=[],
    )
    return parser


if __name__ == "__main__":
    main()
