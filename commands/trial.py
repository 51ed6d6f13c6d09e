"""`signalbox try`: what an event would set off now, without doing any of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import (
    EXIT_ERRORS,
    AsJson,
    app_services,
    fail,
    print_json,
    print_lines,
    settings_beside,
    visible,
)
from commands.given import events_of, named, read_given
from commands.send import Model, details_of, freshened, sample_of_type

if TYPE_CHECKING:
    from shared.reactions.model import Reactions
    from shared.services import Services

Rules = Annotated[
    Path | None,
    typer.Option("--rules", metavar="FILE", help="By this rules file; by default the app's own."),
]


def try_event(
    event: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|ID]", help="The event: a file, - for input, or an id."),
    ] = None,
    model: Model = "",
    workspace: Annotated[
        str,
        typer.Option("--workspace", metavar="NAME", help="The workspace that has the --model."),
    ] = "",
    rules: Rules = None,
    same_id: Annotated[
        bool, typer.Option("--same-id", help="As a repeat, if the app had the event before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what an event would set off now.

    Tables and workspaces are read. Nothing is written, started or sent. The exit status is 1 if a
    step would fail.
    """
    if bool(event) == bool(model):
        raise fail("say what to try: a file, the id of an event, or --model NAME:VERSION")
    from commands.rehearsal import Rehearsal
    from commands.trial_view import draw_trial, is_refused, trial_data

    with app_services() as services:
        settings = settings_beside_app()
        reactions = rules_of(services, settings, rules)
        raws = (
            (registered(services, reactions, model, workspace),)
            if event is None
            else _read(services, event, same_id=same_id)
        )
        found = []
        for raw in raws:
            rehearsal = Rehearsal(services, settings, reactions)
            with named(event or model):
                events = tuple(_as_listed(reactions, item) for item in events_of(raw))
            found += [(tried, reactions) for tried in rehearsal.rehearse(raw, events)]
    if as_json:
        print_json([trial_data(*pair) for pair in found])
    else:
        for pair in found:
            print_lines(draw_trial(*pair))
    if any(is_refused(tried) for tried, _ in found):
        raise typer.Exit(EXIT_ERRORS)


def settings_beside_app() -> Mapping[str, str]:
    """Return the app settings of a laptop, or of the environment."""
    from shared.base.settings import APP_ROOT

    return settings_beside(APP_ROOT)


def rules_of(services: "Services", settings: Mapping[str, str], path: Path | None) -> "Reactions":
    """Return the reactions of a file, by default those of the app.

    Exits with 1 if the file can't be read. Raises: ReactionsInvalid.
    """
    if path is None:
        return services.reactions
    from shared.actions import ACTIONS
    from shared.base.rules_files import read_rules
    from shared.reactions.load import load_reactions

    try:
        text = read_rules(path, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise fail(visible(f"{path} can't be read ({type(error).__name__})")) from None
    return load_reactions(text, source=str(path), actions=ACTIONS, settings=settings)


def _as_listed(reactions: "Reactions", event: Any) -> Any:
    from shared.events.model import Event
    from shared.reactions.match import as_listed

    if not isinstance(event, Event):
        return event
    return replace(event, workspace=as_listed(reactions, event.workspace) or event.workspace)


def _read(services: "Services", given: str, *, same_id: bool) -> tuple[dict[str, Any], ...]:
    """Return the envelopes as they would arrive now.

    The app waits for tags, models and runs that may still come. An hour later it gives the final
    answer.
    """
    found, now = read_given(services, given), services.clock.now()
    raws = []
    for raw in found.raws:
        with named(given):
            events = events_of(raw)
        may_wait = any(hasattr(event, "model") or hasattr(event, "run") for event in events)
        at = now - timedelta(hours=1) if may_wait else now
        raws.append(freshened(raw, at, same_id=same_id, same_time=same_id))
    return tuple(raws)


def registered(
    services: "Services", reactions: "Reactions", model: str, workspace: str
) -> dict[str, Any]:
    """Return the event of a model version as the workspace has it now."""
    listed = reactions.workspaces
    fit = [item for item in listed if workspace.lower() in ("", item.name.lower())]
    details = details_of(services, model=model, workspace=workspace)
    for place in fit:
        version = services.workspaces.get_model(place, details.model, details.version)
        if version is None:
            continue
        at = details.at - timedelta(hours=1)
        known = replace(details, workspace=place, at=at, tags=version.tags)
        raw = sample_of_type("ModelRegistered", known)
        raw["data"]["modelProperties"] = dict(version.properties)
        return raw
    names = ", ".join(item.name for item in fit) or workspace
    raise fail(visible(f"there is no model {model} in {names}"))
