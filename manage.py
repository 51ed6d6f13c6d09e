"""The operator's command line, `signalbox`."""

import sys

try:
    import typer
except ModuleNotFoundError:
    sys.exit(
        "This Python lacks the app's packages: run `make setup` and `source .venv/bin/activate`."
    )

from commands import endpoints, events, letters, loops, rollouts
from commands.backtest import backtest
from commands.check import check
from commands.deploy import deploy
from commands.evaluation import evaluate
from commands.schema import schema
from commands.send import send
from commands.trial import try_event
from commands.why import why

app = typer.Typer(
    help="Check the rules of the app, see what it did, and give it orders.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(check)
app.command()(schema)
app.command("eval")(evaluate)
app.command()(send)
app.command("try")(try_event)
app.command()(backtest)
app.command()(deploy)
app.command()(why)
app.add_typer(events.app, name="events")
app.add_typer(letters.app, name="letters")
app.add_typer(rollouts.app, name="rollouts")
app.add_typer(loops.app, name="loops")
app.add_typer(endpoints.app, name="endpoints")

if __name__ == "__main__":
    app(prog_name="signalbox")
