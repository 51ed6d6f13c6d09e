"""`python -m demo.load ENDPOINT`: let customers ask an endpoint of a running demo, until Ctrl-C."""

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from azure.core.exceptions import AzureError

from demo.addresses import running_settings
from demo.screen import Screen
from demo.stage import APP_ROOT
from demo.workspace import Workspace
from sandbox.load import NO_ANSWER, Load

_PAUSE = 0.2


def main(
    endpoint: Annotated[str, typer.Argument(help="The endpoint, for example churn.")],
    rate: Annotated[float, typer.Option(min=0.1, max=500, help="Requests per second.")] = 40,
    seconds: Annotated[float, typer.Option(help="End after so long.")] = float("inf"),
) -> None:
    """Send scoring requests to an endpoint of the demo that runs, until Ctrl-C.

    A line at the foot counts the answers of each deployment. Gates need requests to judge by.
    """
    settings = running_settings()
    try:
        workspace = Workspace(settings)
        url, token = workspace.scoring_url(endpoint), workspace.scoring_token()
    except AzureError as error:
        reason = str(error).partition("\n")[0]
        typer.echo(f"endpoint {endpoint} can't be asked: {reason}", err=True)
        raise typer.Exit(1) from None
    screen = Screen()
    body = json.loads((APP_ROOT / "golden" / "churn.json").read_bytes())
    with Load(
        url, token, rate=rate, body=body, ca_path=Path(settings["REQUESTS_CA_BUNDLE"])
    ) as load:
        screen.say(f"{rate:g} requests a second to {endpoint}, until you press Ctrl-C", style="dim")
        end = time.monotonic() + seconds
        with suppress(KeyboardInterrupt), screen.footer(lambda: counts(load)):
            while time.monotonic() < end:
                time.sleep(_PAUSE)
    screen.say(counts(load))


def counts(load: Load) -> str:
    """Return the answers so far in one line, by deployment, and the failures by status."""
    answered = load.answered_by()
    parts = [f"{name or 'the endpoint'} {count}" for name, count in sorted(answered.items())]
    failed = {status: count for status, count in load.statuses().items() if status != 200}
    parts += [
        f"{count} without an answer" if status == NO_ANSWER else f"{count} times HTTP {status}"
        for status, count in sorted(failed.items())
    ]
    return f"answers: {', '.join(parts) or 'none yet'}"


if __name__ == "__main__":
    typer.run(main)
