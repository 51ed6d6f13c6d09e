"""`signalbox send`: publish an event on an Event Grid topic, or put it into the app's own queue."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

import typer

from commands.common import AsJson, app_services, fail, print_json, settings_beside, visible
from commands.given import events_of, named, read_given
from shared.base.errors import EventMalformed, SignalboxError
from shared.base.words import counted

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from commands.samples import Details
    from shared.events.model import Event, UnknownEvent
    from shared.services import Services

#: The queues that the app's triggers read.
_WORKSPACES_QUEUE, _CHECKS_QUEUE = "workspace-events", "drift-events"
#: These may be sent to without https: they are on this machine.
_HERE = ("localhost", "127.0.0.1", "::1")
#: For one request, in seconds.
_TIMEOUT = 20

Sample = Annotated[
    str, typer.Option("--sample", metavar="TYPE", help="A sample of this type in place of a file.")
]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME:VERSION", help="The model version of a sample.")
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="A tag of the sample's model or run."),
]


def send(
    event: Annotated[
        str | None,
        typer.Argument(metavar="[FILE|ID]", help="The event: a file, - for input, or an id."),
    ] = None,
    sample: Sample = "",
    model: Model = "",
    tag: Tags = None,
    run: Annotated[str, typer.Option("--run", metavar="ID", help="The run of a sample.")] = "",
    status: Annotated[
        str, typer.Option("--status", metavar="STATUS", help="The status of a sample's run.")
    ] = "",
    endpoint: Annotated[
        str, typer.Option("--endpoint", metavar="NAME", help="The endpoint of a sample.")
    ] = "",
    workspace: Annotated[
        str,
        typer.Option("--workspace", metavar="NAME", help="The workspace of a sample, if listed."),
    ] = "",
    topic: Annotated[
        str,
        typer.Option(
            "--topic",
            metavar="ENDPOINT|SETTING",
            help="The topic: its endpoint, or the app setting that holds it.",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key",
            metavar="SETTING",
            help="The app setting that holds the topic's key; without one you sign in.",
        ),
    ] = "",
    queue: Annotated[bool, typer.Option("--queue", help="Into the app's own queue.")] = False,
    same_id: Annotated[bool, typer.Option("--same-id", help="Keep the event's id.")] = False,
    same_time: Annotated[bool, typer.Option("--same-time", help="Keep the event's time.")] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Send also what the app can't read.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send an event of your own.

    That of a file, one on record, or a sample. It gets a fresh id and the present time, because the
    app takes the same id for a repeat.
    """
    if bool(topic) == queue:
        raise fail("say where to: --topic ENDPOINT, or --queue for the app's own queue")
    with app_services() as services:
        if bool(event) == bool(sample):
            raise fail("say what to send: a file, the id of an event, or --sample TYPE")
        if sample:
            details = details_of(
                services,
                model=model,
                tags=tag,
                run=run,
                status=status,
                endpoint=endpoint,
                workspace=workspace,
            )
            raws: Sequence[dict[str, Any]] = (sample_of_type(sample, details),)
        else:
            assert event is not None  # or a sample
            given, now = read_given(services, event), services.clock.now()
            raws = tuple(
                freshened(raw, now, same_id=same_id, same_time=same_time) for raw in given.raws
            )
        _check(services, raws, event or sample, anyway=anyway, to_topic=not queue)
        if queue:
            place = _enqueue(services, raws)
        else:
            place = _publish(settings_beside_app(), topic, key, raws)
    _report(raws, place, as_json=as_json)


def settings_beside_app() -> Mapping[str, str]:
    """Return the app settings of a laptop, or of the environment."""
    from shared.base.settings import APP_ROOT

    return settings_beside(APP_ROOT)


def sample_of_type(kind: str, details: "Details") -> dict[str, Any]:
    """Return a sample; exit with 1 where there is none of this type."""
    from commands.samples import SAMPLES, make_sample

    for known in SAMPLES:
        if kind.lower() == known.lower():
            return make_sample(known, details)
    raise fail(f"there is no sample {visible(kind)}; there are {', '.join(SAMPLES)}")


def details_of(
    services: "Services",
    *,
    model: str = "",
    tags: Iterable[str] | None = None,
    run: str = "",
    status: str = "",
    endpoint: str = "",
    workspace: str = "",
) -> "Details":
    """Return the details of a sample; its workspace is one that the rules file lists."""
    from commands.samples import Details

    name, colon, version = model.partition(":")
    if model and not (name and colon and version):
        raise fail(f"--model takes NAME:VERSION, such as churn:8; found {visible(model)}")
    pairs = [tag.partition("=") for tag in tags or ()]
    if odd := [name for name, sign, _ in pairs if not (name and sign)]:
        raise fail(f"--tag takes NAME=VALUE, such as deploy=true; found {visible(odd[0])}")
    listed = services.reactions.workspaces
    fit = [item for item in listed if workspace.lower() in ("", item.name.lower())]
    if not fit:
        names = ", ".join(item.name for item in listed) or "none"
        raise fail(visible(f"the rules file lists no workspace {workspace}; it lists {names}"))
    chosen: dict[str, Any] = {
        "model": name,
        "version": version,
        "run": run,
        "status": status,
        "endpoint": endpoint,
    }
    return Details(
        workspace=fit[0],
        at=services.clock.now(),
        tags={name: value for name, _, value in pairs},
        **{name: value for name, value in chosen.items() if value},
    )


def freshened(
    raw: Mapping[str, Any], now: datetime, *, same_id: bool, same_time: bool
) -> dict[str, Any]:
    """Return an envelope of any schema with an id of its own and the present time."""
    fresh = deepcopy(dict(raw))
    if fresh.get("schemaId") is not None:
        essentials = fresh.get("data", {}).get("essentials", {})
        if isinstance(essentials, dict):
            _freshen_alert(essentials, now, same_id=same_id, same_time=same_time)
        return fresh
    if not same_id:
        fresh["id"] = str(uuid4())
    if not same_time:
        fresh["time" if "specversion" in fresh else "eventTime"] = now.isoformat()
    return fresh


def _freshen_alert(
    essentials: dict[str, Any], now: datetime, *, same_id: bool, same_time: bool
) -> None:
    if not same_id and isinstance(essentials.get("alertId"), str):
        essentials["alertId"] = f"{essentials['alertId'].rpartition('/')[0]}/{uuid4()}"
    if not same_time:
        essentials["firedDateTime"] = now.isoformat()
        if str(essentials.get("monitorCondition", "")).lower() == "resolved":
            essentials["resolvedDateTime"] = now.isoformat()


def _check(
    services: "Services",
    raws: Sequence[Mapping[str, Any]],
    source: str,
    *,
    anyway: bool,
    to_topic: bool,
) -> None:
    """Refuse what the app could not read; warn of what it reads and does nothing with.

    Raises: EventMalformed.
    """
    for raw in raws:
        try:
            with named(source):
                events = events_of(raw)
                if to_topic:
                    _require_sendable(raw, events)
        except EventMalformed as error:
            if not anyway:
                raise EventMalformed(
                    error.message, hint=f"{error.hint} To send it all the same: --anyway".strip()
                ) from None
            typer.echo(f"the app can't read it: {visible(error.message)}", err=True)
            continue
        for event in events:
            _warn(services, event)


def _require_sendable(raw: Mapping[str, Any], events: "Sequence[Event | UnknownEvent]") -> None:
    """Raises: EventMalformed for an event that a custom topic would change, or not take."""
    if raw.get("schemaId") is not None:
        raise EventMalformed(
            "an alert of Azure Monitor is no event that a topic takes",
            hint="Put it into the app's queue: --queue",
        )
    from shared.events.model import Event

    is_named = raw.get("specversion") is not None or _names_workspace(raw)
    if not is_named and any(isinstance(event, Event) for event in events):
        raise EventMalformed(
            "a custom topic writes its own id into `topic` of the Event Grid schema, so that the"
            " app would not find the workspace",
            hint="Send it as a CloudEvent, or with --queue.",
        )


def _names_workspace(raw: Mapping[str, Any]) -> bool:
    data = raw.get("data")
    return isinstance(data, Mapping) and any(name in data for name in ("workspace", "workspaceId"))


def _warn(services: "Services", event: "Event | UnknownEvent") -> None:
    from shared.events.model import UnknownEvent
    from shared.reactions.match import as_listed

    if isinstance(event, UnknownEvent):
        typer.echo(f"no reaction can be written for {visible(event.type)}", err=True)
        return
    try:
        reactions = services.reactions
    except SignalboxError:
        return
    if as_listed(reactions, event.workspace) is None:
        name = visible(event.workspace.name)
        typer.echo(f"the rules file does not list workspace {name}: the app will skip it", err=True)


def _enqueue(services: "Services", raws: Sequence[Mapping[str, Any]]) -> str:
    """Put the events into the queues whose triggers take them; return the queues' names."""
    from shared.events.envelopes import OF_WORKSPACES, parse_envelope

    used: dict[str, None] = {}
    for raw in raws:
        try:
            kind = parse_envelope(raw).kind
        except EventMalformed:
            kind = None
        queue = _WORKSPACES_QUEUE if kind is None or kind in OF_WORKSPACES else _CHECKS_QUEUE
        try:
            services.queues.send(queue, json.dumps(raw, ensure_ascii=False))
        except ValueError as error:
            raise fail(f"the event is too long for a queue: {error}") from None
        used[queue] = None
    return f"queue {' and '.join(used)}"


def _publish(
    settings: Mapping[str, str], topic: str, key: str, raws: Sequence[dict[str, Any]]
) -> str:
    """Publish the events on a topic, each schema in a request of its own; return its host."""
    endpoint, key_setting = _endpoint(settings, topic), key
    if not key and topic in settings and f"{topic}_KEY" in settings:
        key_setting = f"{topic}_KEY"
    secret = settings.get(key_setting, "").strip() if key_setting else ""
    if key_setting and not secret:
        # It may be the key itself, so it is not shown.
        raise fail("--key takes the name of an app setting, and none of that name is set")
    from azure.core.credentials import AzureKeyCredential
    from azure.eventgrid import EventGridPublisherClient

    credential = AzureKeyCredential(secret) if secret else _identity(settings)
    host = urlsplit(endpoint).hostname or ""
    with _refusals(host), EventGridPublisherClient(endpoint, credential) as client:
        for is_cloud in (True, False):
            batch = [dict(raw) for raw in raws if ("specversion" in raw) is is_cloud]
            for raw in batch:
                if not is_cloud:
                    raw.pop("topic", None)
                    raw.setdefault("dataVersion", "1")
            if batch:
                client.send(
                    batch, retry_total=1, permit_redirects=False, connection_timeout=_TIMEOUT
                )
    return f"topic {host}"


def _endpoint(settings: Mapping[str, str], topic: str) -> str:
    text = settings.get(topic, "").strip() or topic
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    is_whole = parts.username is None and not parts.query and not parts.fragment
    if (
        host
        and is_whole
        and (parts.scheme == "https" or (parts.scheme == "http" and host in _HERE))
    ):
        return text if parts.path.strip("/") else f"{text.rstrip('/')}/api/events"
    if "/" not in topic and "." not in topic and topic not in settings:
        raise fail(visible(f"the app setting {topic} is not set, and --topic is no address"))
    raise fail("--topic takes an https:// endpoint, or the name of the app setting that holds it")


def _identity(settings: Mapping[str, str]) -> "TokenCredential":
    from shared.adapters.identity import make_credential

    return make_credential(settings)


@contextmanager
def _refusals(host: str) -> Iterator[None]:
    """Say on one line why a topic took nothing, and exit with 1."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    try:
        yield
    except ClientAuthenticationError as error:
        status = f"HTTP {error.status_code}" if error.status_code else "nobody could sign in"
        raise fail(
            f"topic {host} does not let you publish ({status}): check the key, or your role"
            " EventGrid Data Sender"
        ) from None
    except HttpResponseError as error:
        why = visible(str(error.message or "").partition("\n")[0])
        raise fail(f"topic {host} refused it: HTTP {error.status_code} {why}".rstrip()) from None
    except AzureError as error:
        raise fail(f"topic {host} did not answer ({type(error).__name__})") from None


def _report(raws: Sequence[Mapping[str, Any]], place: str, *, as_json: bool) -> None:
    """Say what was sent and how to see what comes of it."""
    ids = [_id_of(raw) for raw in raws]
    if as_json:
        print_json({"sent": ids, "to": place})
        return
    typer.echo(f"sent {counted(len(ids), 'event')} to {place}:")
    for id_ in ids:
        typer.echo(f"  {visible(id_)}")
    if sys.stdout.isatty():
        typer.echo(visible(f"signalbox events show {ids[0]}"))


def _id_of(raw: Mapping[str, Any]) -> str:
    if raw.get("schemaId") is None:
        return str(raw.get("id", ""))
    essentials = raw.get("data", {}).get("essentials", {})
    return str(essentials.get("alertId", "")) if isinstance(essentials, Mapping) else ""
