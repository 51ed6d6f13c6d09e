"""`signalbox deploy`: have one reaction run for a model version, without an event of Event Grid."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import (
    EXIT_ERRORS,
    By,
    Why,
    app_services,
    fail,
    print_lines,
    visible,
    who,
)
from commands.send import freshened
from commands.trial import registered, settings_beside_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.reactions.model import Reaction, Reactions
    from shared.services import Services


def deploy(
    model: Annotated[
        str, typer.Argument(metavar="NAME:VERSION", help="The model version, such as churn:8.")
    ],
    reaction: Annotated[
        str, typer.Option("--reaction", metavar="NAME", help="The reaction that is to run.")
    ],
    why: Why,
    by: By = "",
    workspace: Annotated[
        str, typer.Option("--workspace", metavar="NAME", help="The workspace that has the model.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, for scripts.")] = False,
) -> None:
    """Have one reaction run for a model.

    It is as if the version were registered now: the condition has to hold, and limits count. The
    app does it within seconds. Before that you see what would be done. The exit status is 1 if a
    step would fail, and nothing is done then.
    """
    from commands.rehearsal import Rehearsal
    from commands.trial_view import draw_trial, is_refused
    from shared.events.envelopes import parse_envelope, parse_events
    from shared.journal.outcomes import OutcomeStatus

    name, _, version = model.partition(":")
    if not (name and version):
        raise fail(visible(f"say which version: NAME:VERSION, such as churn:8; found {model}"))
    with app_services() as services:
        reactions = services.reactions
        chosen = _pick_reaction(reactions, reaction)
        if not workspace and len(reactions.workspaces) > 1:
            names = ", ".join(item.name for item in reactions.workspaces)
            raise fail(visible(f"say which workspace has the model: --workspace, one of {names}"))
        raw = registered(services, reactions, model, workspace)
        only = replace(reactions, reactions=(chosen,))
        events = parse_events(parse_envelope(raw))
        settings = settings_beside_app()
        (tried,) = Rehearsal(services, settings, only).rehearse(raw, events)
        print_lines(draw_trial(tried, only))
        if is_refused(tried):
            raise fail("nothing was done, because a step would fail")
        whole = tried.whole.get(chosen.name)
        if not tried.steps or (whole is not None and whole.status is OutcomeStatus.SKIPPED):
            raise fail(visible(f"nothing was done, because {chosen.name} would do nothing"))
        if not yes and not typer.confirm("Do it?"):
            raise typer.Exit(EXIT_ERRORS)
        _order(services, chosen, raw, who(by), why)
    typer.echo(visible(f"the app does it within seconds: signalbox why {model}"))


def _pick_reaction(reactions: "Reactions", name: str) -> "Reaction":
    """Return the reaction; exit with 1 if there is none that runs for a new model."""
    from shared.events.model import EventType

    kind = EventType.MODEL_REGISTERED
    found = reactions.get(name)
    if found is None:
        fit = ", ".join(item.name for item in reactions.of_type(kind)) or "none"
        raise fail(visible(f"there is no reaction {name}; on {kind} there are: {fit}"))
    if kind not in found.on:
        raise fail(visible(f"reaction {name} is not for {kind}, so it deploys no model"))
    if not found.enabled:
        raise fail(visible(f"reaction {name} is switched off (`enabled: false`)"))
    if found.dry_run:
        raise fail(visible(f"reaction {name} is a dry run: it would do nothing"))
    return found


def _order(
    services: "Services", reaction: "Reaction", raw: "Mapping[str, Any]", by: str, why: str
) -> None:
    """Have the app run the reaction: as a letter that is due now, whose event holds the order.

    The record comes first, because the app may be done before a later one.
    """
    from shared.base.errors import RunByOrder, failure_of
    from shared.events.envelopes import parse_envelope, parse_events
    from shared.flow.steps import outcome_of_failure
    from shared.journal.outcomes import WHOLE, ref_of

    sent = freshened(raw, services.clock.now(), same_id=False, same_time=False)
    sent["data"]["order"] = {"by": by, "why": why}
    envelope = parse_envelope(sent)
    (event,) = parse_events(envelope)
    ref, order = ref_of(event), f"ordered by {by}: {why}"
    failure = failure_of(RunByOrder(order))
    news = {f"{reaction.name}/{WHOLE}": outcome_of_failure(failure)}
    services.records.add(ref, news, delivery=True, body=envelope.body)
    letter = services.dead_letters.bury(json.dumps(sent), failure, reaction=reaction.name, ref=ref)
    services.dead_letters.reopen(letter, order)
