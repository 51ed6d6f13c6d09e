"""The same event by a direct trigger and by a queue: the same reactions, claims and letters."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from azure.functions.queue import QueueMessage

from shared.base.errors import EventMisplaced
from shared.events.envelopes import Kind
from shared.events.model import EventType
from shared.journal.letters import LetterStatus
from tests.stories.ways import FUNCTIONS, QUEUES, TRIGGERS, Ways
from tests.stories.world import WORKSPACE, World, model_registered

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EVENTS = sorted((Path(__file__).parents[1] / "events").glob("*.json"))
ALERTS = [path for path in EVENTS if path.name.startswith("alert_fired")]
#: The app raises these itself, so that no trigger takes one.
OWN = [path for path in EVENTS if path.name.startswith("schedule")]
DELIVERED = [path for path in EVENTS if path not in (*ALERTS, *OWN)]


def sources() -> set[str]:
    """Return the workspaces that the events are of."""
    found: set[str] = set()
    for path in EVENTS:
        text = path.read_text()
        start = "/subscriptions/"
        for part in text.split('"'):
            if part.startswith(start) and "MachineLearningServices/workspaces/" in part:
                found.add("/".join(part.split("/")[:9]))
    return found


def rules(*workspaces: str, when: str = "") -> str:
    """Return a reaction to every type of event; that to models on a condition, if one is given."""
    reactions = [
        {
            "name": f"tell-{str(kind).lower()}",
            "on": str(kind),
            **({"when": when} if when and kind is EventType.MODEL_REGISTERED else {}),
            "do": [{"notify": {"channel": "team", "title": f"{kind} ${{{{ id }}}}"}}],
        }
        for kind in EventType
        if kind is not EventType.SCHEDULE  # it comes by no way from outside
    ]
    file = {"version": 1, "workspaces": list(workspaces), "channels": ["team"]}
    return json.dumps({**file, "reactions": reactions})


def ways(monkeypatch: pytest.MonkeyPatch, *workspaces: str, when: str = "") -> Ways:
    return Ways(World(rules(*workspaces, when=when)), monkeypatch)


#: The worker drops some members of an event: by the direct trigger, the status beside the data
#: in the documentation's own sample is gone.
LOST_BY_THE_TRIGGER = {"run_status_changed.status_beside_data"}


@pytest.mark.parametrize("path", DELIVERED, ids=lambda path: path.stem)
def test_an_event_has_the_same_fate_by_both_ways(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text()
    queue = "drift_events" if path.name.startswith("drift_detected") else "workspace_events"
    queued, triggered = (ways(monkeypatch, *sources()) for _ in range(2))
    queued.by_queue(text, queue)
    triggered.by_trigger(text)

    assert any(queued.seen().values())
    if path.stem in LOST_BY_THE_TRIGGER:
        assert queued.seen()["letters"] == []
        (letter,) = triggered.seen()["letters"]
        assert "runStatus" in letter[1]
    else:
        assert triggered.seen() == queued.seen()


@pytest.mark.parametrize("path", ALERTS, ids=lambda path: path.stem)
def test_an_alert_has_the_same_fate_by_call_and_by_queue(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued, called = (ways(monkeypatch, *sources()) for _ in range(2))
    queued.by_queue(path.read_text())
    called.by_http(path.read_text())

    assert any(queued.seen().values())
    assert called.seen() == queued.seen()


TAG = "2026-11-28T10:00:00+02:00"
#: Told by a reaction; only on record; kept as a letter; and no code of ours is called at all: Event
#: Grid comes again for a day, and what it gives up the sweep finds in a container.
TOLD, SKIPPED, LETTER, UNREACHED = "told", "skipped", "letter", "unreached"


def registered(**changes: Any) -> dict[str, Any]:
    """Return the event of a registered model, with changes to its envelope; `...` takes one out."""
    event = model_registered("e1", NOW, "churn", "1", {"when": "now"})
    return {name: value for name, value in {**event, **changes}.items() if value is not ...}


def tagged(value: str) -> str:
    data = {"modelName": "churn", "modelVersion": "1", "modelTags": {"when": value}}
    return json.dumps(registered(data=data))


def holds(value: str) -> str:
    return f"model.tags.when == '{value}'"


@pytest.mark.parametrize(
    ("text", "when", "by_queue", "by_trigger"),
    [
        pytest.param(tagged(TAG), holds(TAG), TOLD, SKIPPED, id="a-time-with-an-offset"),
        pytest.param(
            tagged("2026-11-28T10:00:00.50Z"),
            holds("2026-11-28T10:00:00.50Z"),
            TOLD,
            SKIPPED,
            id="a-fraction-with-a-nought",
        ),
        pytest.param(
            json.dumps(registered()).replace(
                '"modelVersion": "1"', '"x": 1E400, "modelVersion": 1'
            ),
            "",
            LETTER,
            TOLD,
            id="a-number-that-is-too-large",
        ),
        pytest.param(
            json.dumps(registered(eventTime="2026-03-02 09:00:00Z")),
            "",
            TOLD,
            UNREACHED,
            id="an-event-s-time-that-the-worker-can-t-read",
        ),
        pytest.param(
            json.dumps(registered(eventTime="soon")),
            "",
            LETTER,
            UNREACHED,
            id="a-time-that-is-none",
        ),
        pytest.param(
            json.dumps(registered(EventType=registered()["eventType"], eventType=...)),
            "",
            TOLD,
            LETTER,
            id="an-envelope-of-another-casing",
        ),
        pytest.param("this is no event", "", LETTER, UNREACHED, id="no-json"),
        pytest.param('"text"', "", LETTER, UNREACHED, id="no-object"),
        pytest.param(
            json.dumps(registered(x=json.loads("[" * 64 + "]" * 64))),
            "",
            LETTER,
            UNREACHED,
            id="deeper-than-64",
        ),
    ],
)
def test_only_what_the_host_changes_is_another_event_by_the_other_way(
    text: str, when: str, by_queue: str, by_trigger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fate(text, when, "by_queue", monkeypatch) == by_queue
    assert fate(text, when, "by_trigger", monkeypatch) == by_trigger


def fate(text: str, when: str, way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what becomes of a body that comes by one of the ways."""
    gone = ways(monkeypatch, WORKSPACE.id, when=when)
    try:
        getattr(gone, way)(text)
    except ValueError:
        return UNREACHED
    seen = gone.seen()
    if seen["letters"]:
        return LETTER
    return TOLD if seen["told"] else SKIPPED


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(registered()).replace('"when":', '"when": "first", "when":'),
        json.dumps(registered()).replace('"now"', '"now \\ud800"'),
        json.dumps(registered(eventTime="2026-03-02T09:00:00.123456789Z")),
        json.dumps(registered(eventTime="2026-03-02T09:00:00")),
        json.dumps(registered(eventTime="2026-03-02T11:00:00+02:00")),
        json.dumps(registered(eventTime=...)),
        json.dumps(registered(id=...)),
        json.dumps(registered(topic=...)),
        json.dumps(registered(topic="elsewhere")),
        json.dumps(registered(data="text")),
        json.dumps(registered(data=json.dumps(registered()["data"]))),
        json.dumps(registered(id=7)),
        json.dumps(registered(specversion="1.0")),
        json.dumps(registered(specversion="0.3")),
    ],
    ids=[
        *("key-twice", "half-a-character", "nine-digits", "no-zone", "offset", "no-time", "no-id"),
        *("no-topic", "foreign", "data-of-text", "data-as-text", "id-a-number", "mixed", "old"),
    ],
)
def test_what_the_host_does_not_change_has_the_same_fate(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued, triggered = (ways(monkeypatch, WORKSPACE.id) for _ in range(2))
    queued.by_queue(text)
    triggered.by_trigger(text)

    assert any(queued.seen().values())
    assert triggered.seen() == queued.seen()


@pytest.mark.parametrize("member", ["id", "window"])
@pytest.mark.parametrize(("time", "events"), [(TAG, 2), ("2026-11-28T08:00:00Z", 1)])
def test_an_id_that_looks_like_a_time_with_an_offset_is_another_by_the_other_way(
    member: str, time: str, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ways(monkeypatch, WORKSPACE.id)
    data = {"monitor": "m", "window": {"id": time if member == "window" else "w"}}
    event_id = time if member == "id" else "e1"
    own = {"eventType": "Signalbox.DriftDetected", "id": event_id, "data": data}
    text = json.dumps(registered(**own))
    gone.by_queue(text, "drift_events")
    gone.by_trigger(text)

    assert len(gone.seen()["outcomes"]) == len(gone.seen()["claims"]) == events


def of_type(kind: str) -> str:
    """Return an event of a type, as whoever publishes it says."""
    own = kind if "." in kind else f"Microsoft.MachineLearningServices.{kind}"
    data = {
        "modelName": "churn",
        "modelVersion": "1",
        "serviceName": "s",
        "runId": "r",
        "runStatus": "Completed",
        "monitor": "m",
        "driftCoefficient": 0.5,
        "baseDatasetName": "b",
        "targetDatasetName": "t",
        "dataDriftId": "d",
    }
    forged = {
        "specversion": "1.0",
        "id": "e1",
        "type": own,
        "source": WORKSPACE.id,
        "time": NOW.isoformat(),
        "data": data,
    }
    return json.dumps(forged)


KINDS = [*get_args(Kind)]
#: The types that each trigger takes; every other type is refused.
TAKES = {
    "model_registered": {"ModelRegistered"},
    "model_deployed": {"ModelDeployed"},
    "run_completed": {"RunCompleted"},
    "run_status_changed": {"RunStatusChanged"},
    "dataset_drift_detected": {"DatasetDriftDetected", "Signalbox.DriftDetected"},
    "drift_events": {"DatasetDriftDetected", "Signalbox.DriftDetected"},
    "workspace_events": {*KINDS} - {"Signalbox.DriftDetected", "Signalbox.Schedule"},
}


@pytest.mark.parametrize("function", TAKES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_trigger_takes_only_what_it_is_for(
    function: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = ways(monkeypatch, WORKSPACE.id)
    text = of_type(kind)
    if function in QUEUES:
        gone.by_queue(text, function)
    else:
        gone.by_trigger(text, function)

    seen = gone.seen()
    is_refused = any(EventMisplaced.code in outcome[3] for outcome in seen["outcomes"])
    assert is_refused == (kind not in TAKES[function])
    if is_refused:
        assert (seen["told"], seen["claims"], seen["letters"]) == ([], [], [])


def test_every_trigger_of_events_says_what_it_takes() -> None:
    kinds = {"eventGridTrigger", "queueTrigger"}
    own = {"announcements", "dead_letter", "rollouts"}
    found = {name for name, kind in TRIGGERS.items() if kind in kinds}

    assert found - own == TAKES.keys()


def test_a_forged_event_leaves_the_record_of_the_true_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = ways(monkeypatch, WORKSPACE.id)
    gone.by_queue(of_type("ModelRegistered"), "drift_events")
    forged = gone.seen()["outcomes"]
    gone.by_queue(of_type("ModelRegistered"))

    true = [outcome for outcome in gone.seen()["outcomes"] if outcome not in forged]
    assert len(true) == len(forged) == 1
    assert EventMisplaced.code not in true[0][3]


@pytest.mark.parametrize(
    ("queue", "container", "kind"),
    [
        ("workspace-events", "event-grid-dead-letters", "Signalbox.DriftDetected"),
        ("drift-events", "drift-event-dead-letters", "ModelRegistered"),
    ],
)
def test_what_was_given_up_on_its_way_is_held_to_that_way(
    queue: str, container: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ways(monkeypatch, WORKSPACE.id).world
    world.queues.send(f"{queue}-poison", of_type(kind))
    world.blobs.put(container, "a.json", f"[{of_type(kind)}]".encode())
    world.sweep.run()
    world.settle()

    (row,) = world.rows("SignalboxEvents")
    assert row.values["deliveries"] == 2
    assert EventMisplaced.code in str(row.values["outcomes"])
    assert world.queues.receive(f"{queue}-poison") == ()
    assert world.blobs.names(container) == ()


def test_what_event_grid_wrote_in_base64_is_kept_as_what_it_is_and_lost_by_no_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = ways(monkeypatch, WORKSPACE.id).world
    tags = {"note": "token=s3cr3tValue"}
    given_up = json.dumps(model_registered("event-a", NOW, version="1", tags=tags))
    cut_off = json.dumps(model_registered("event-b", NOW, version="2", tags=tags))
    world.react.put_off(base64.b64encode(given_up.encode()).decode())
    world.react.react_to_body(base64.b64encode(f"[{cut_off}]".encode()), is_again=True)

    bodies = [json.loads(letter.body) for letter in world.all_letters()]
    assert len(bodies) == 2
    assert "s3cr3tValue" not in str(bodies)
    world.settle()
    assert sorted(world.told()) == ["ModelRegistered event-a", "ModelRegistered event-b"]


def test_a_letter_of_what_could_not_be_read_is_held_to_its_way_when_it_is_replayed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = ways(monkeypatch, WORKSPACE.id)
    event = json.loads(of_type("ModelRegistered"))
    gone.by_queue(json.dumps(event | {"id": "hidden\u200b"}), "drift_events")
    (letter,) = gone.world.all_letters()
    assert letter.status is LetterStatus.PARKED
    assert "\u200b" not in json.loads(letter.body)["id"]
    gone.world.letters.reopen(letter)
    gone.world.settle()

    (row,) = gone.world.rows("SignalboxEvents")
    assert EventMisplaced.code in str(row.values["outcomes"])
    assert gone.seen()["told"] == []


@pytest.mark.parametrize(
    "body",
    ['{"DequeueCount": "zzz"}', '{"InsertionTime": "zzz", "no": "event"}', "//79/Q=="],
    ids=["count", "time", "no-text"],
)
def test_a_message_that_reached_no_code_of_ours_becomes_a_letter_with_its_body(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ways(monkeypatch, WORKSPACE.id).world
    world.queues.send("workspace-events-poison", body)
    world.sweep.run()
    world.settle()

    (letter,) = world.all_letters()
    kept = letter.body if "{" not in body else json.dumps(json.loads(letter.body))
    assert (letter.status, kept) == (LetterStatus.PARKED, body)
    assert world.queues.receive("workspace-events-poison") == ()


@pytest.mark.parametrize("function", ["dead_letter", "rollouts"])
@pytest.mark.parametrize(
    ("more", "count", "is_again"),
    [
        ({}, 1, False),
        ({}, 2, True),
        ({}, None, False),
        ({"DequeueCount": 99}, 99, False),
        ({"dequeuecount": "99"}, 99, False),
    ],
    ids=["first", "again", "by-hand", "forged", "forged-case"],
)
def test_a_message_can_not_say_itself_how_often_it_was_handed_out(
    function: str,
    more: dict[str, Any],
    count: int | None,
    is_again: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[bool] = []

    def take(message: str, *, redelivered: bool) -> None:
        told.append(redelivered)

    app = SimpleNamespace(
        dead_letters=SimpleNamespace(due=take), rollouts=SimpleNamespace(advance=take)
    )
    body = json.dumps({"v": 1, **more}).encode()
    message = QueueMessage(id="m", body=body, dequeue_count=count)
    monkeypatch.setitem(FUNCTIONS[function].__globals__, "services", lambda: app)
    FUNCTIONS[function](message)

    assert told == [is_again]
