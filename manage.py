"""The operator's command line: `signalbox --help`, or `signalbox --help`."""

import sys

try:
    import typer
except ModuleNotFoundError:
    sys.exit(
        "This Python has not what the app needs: run `make setup` and `source .venv/bin/activate`."
    )

from commands import endpoints, letters, loops, rollouts
from commands.check import check

app = typer.Typer(
    help="Work on the reactions of this app, and see what came of them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(check)
app.add_typer(letters.app, name="letters")
app.add_typer(rollouts.app, name="rollouts")
app.add_typer(loops.app, name="loops")
app.add_typer(endpoints.app, name="endpoints")

if __name__ == "__main__":
    app()
