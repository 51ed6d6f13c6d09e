"""`signalbox schema`: the JSON Schema of a rules file, for editors."""

import json

import typer


def schema() -> None:
    """Print the JSON Schema of a rules file.

    An editor that knows it completes keys and values, and marks mistakes while you write.
    """
    from commands.json_schema import make_schema

    typer.echo(json.dumps(make_schema(), ensure_ascii=False, indent=2))
