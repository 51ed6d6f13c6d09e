"""The questions of `shift_traffic`: its endpoint, and the deployments that it names."""

from collections.abc import Iterator, Mapping
from functools import partial

from shared.actions.live import LiveFault, LiveStep, Question
from shared.base.words import listed
from shared.workspaces.model import EndpointKind

#: The words that `to` takes beside the name of a deployment.
_WORDS = ("previous", "stable")


def shift_questions(step: LiveStep) -> Iterator[Question]:
    """Yield each question, for one workspace."""
    kind, endpoint = step.kind, step.text("endpoint")
    if kind is None:
        yield Question(path=("kind",), ask=None)
        return
    yield step.about("endpoint", partial(_ask_endpoint, step, kind))
    if not endpoint:
        return
    ask = partial(_ask_deployment, step, kind, endpoint)
    if step.text("to") not in _WORDS:
        yield from step.if_given("to", ask)
    split = step.value("split")
    for name in split if isinstance(split, Mapping) else ():
        yield Question(path=("split", name), ask=partial(ask, name))


def _ask_endpoint(step: LiveStep, kind: EndpointKind, name: str) -> LiveFault | None:
    if step.workspaces.get_endpoint(step.workspace, name, kind=kind) is not None:
        return None
    message = f"workspace '{step.workspace.name}' has no endpoint '{name}'"
    hint = "The step fails until somebody makes it."
    return LiveFault(message=message, hint=hint, is_certain=False)


def _ask_deployment(
    step: LiveStep, kind: EndpointKind, endpoint: str, name: str
) -> LiveFault | None:
    if step.workspaces.get_endpoint(step.workspace, endpoint, kind=kind) is None:
        return None  # that is said of the endpoint
    found = step.workspaces.list_deployments(step.workspace, endpoint, kind=kind)
    names = [item.name for item in found]
    if name.lower() in (each.lower() for each in names):
        return None
    message = f"endpoint '{endpoint}' of workspace '{step.workspace.name}' has no deployment"
    hint = f"It has {listed([f'`{each}`' for each in names], 6)}."
    return LiveFault(message=f"{message} '{name}'", hint=hint, is_certain=False)
