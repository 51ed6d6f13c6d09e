"""`python -m demo.register NAME VERSION`: register a model in the workspace of a running demo."""

from typing import Annotated

import typer
from azure.core.exceptions import AzureError

from demo.addresses import running_settings
from demo.workspace import Workspace


def main(
    name: Annotated[str, typer.Argument(help="The model, for example churn.")],
    version: Annotated[str, typer.Argument(help="Its version, a new one.")],
    tag: Annotated[list[str] | None, typer.Option(help="name=value; again for more.")] = None,
    deploy: Annotated[bool, typer.Option(help="Tag it with deploy=true.")] = True,
) -> None:
    """Register an MLflow model, as a data scientist does; see what the demo makes of it."""
    tags = {"deploy": "true"} if deploy else {}
    for text in tag or []:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise typer.BadParameter(f"{text!r} is no name=value", param_hint="--tag")
        tags[key] = value
    try:
        Workspace(running_settings()).register(name, version, tags)
    except AzureError as error:
        reason = str(error).partition("\n")[0]
        typer.echo(f"{name} {version} is not registered: {reason}", err=True)
        raise typer.Exit(1) from None
    tagged = ", ".join(f"{key}={value}" for key, value in tags.items()) or "nothing"
    typer.echo(f"{name} {version} is registered, tagged {tagged}.")


if __name__ == "__main__":
    typer.run(main)
