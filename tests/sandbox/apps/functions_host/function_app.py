"""An app with one function of each trigger, whose input says how the function shall end."""

import json
import logging
import os
import time
from pathlib import Path

import azure.functions as func

app = func.FunctionApp()
_NOTES = Path(os.environ["NOTES_FILE"])


def note(**facts: object) -> None:
    """Append facts to the file that the test reads."""
    with _NOTES.open("a") as notes:
        notes.write(json.dumps(facts) + "\n")


def obey(order: str) -> None:
    """End as the input orders."""
    if order == "raise":
        raise ValueError("told to raise")
    if order == "crash":
        os._exit(1)
    if order == "crash once" and not (crashed := _NOTES.with_suffix(".crashed")).exists():
        crashed.touch()
        os._exit(1)
    if order in ("hang", "hang too"):
        time.sleep(60)
    if order == "wait":
        wait()
    if order == "slow":
        time.sleep(1)
    if order == "meet":
        meet()


def wait() -> None:
    """Return when the test says so."""
    deadline = time.monotonic() + 30
    while not _NOTES.with_suffix(".go").exists():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody said so")
        time.sleep(0.01)


def meet() -> None:
    """Return only when another invocation is in here at the same time."""
    mine = _NOTES.with_suffix(f".{time.monotonic_ns()}.here")
    mine.touch()
    deadline = time.monotonic() + 1.8
    while len(list(_NOTES.parent.glob("*.here"))) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError("nobody came")
        time.sleep(0.01)


@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent, context: func.Context) -> None:
    """Note an event in the Event Grid schema."""
    data = event.get_json()
    note(
        id=event.id,
        type=event.event_type,
        time=event.event_time and event.event_time.isoformat(),
        data=data,
        trace=context.trace_context.trace_parent,
    )
    logging.info("event %s arrived", event.id)
    obey(data.get("order", ""))


@app.event_grid_trigger(arg_name="event")
async def on_cloud_event(event: func.CloudEvent) -> None:
    """Note an event in the CloudEvents schema."""
    note(id=event.id, source=event.source, data=event.get_json())


@app.queue_trigger(arg_name="message", queue_name="%QUEUE%", connection="STORAGE")
def on_message(message: func.QueueMessage) -> None:
    """Note a message from the queue."""
    body = message.get_body().decode()
    note(
        id=message.id,
        body=body,
        attempt=message.dequeue_count,
        inserted=message.insertion_time.isoformat(),
        expires=message.expiration_time.isoformat(),
        lease_ends=message.time_next_visible.timestamp(),
        noted=time.time(),
        receipt=bool(message.pop_receipt),
    )
    obey(body)


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=True)
def on_time(timer: func.TimerRequest) -> None:
    """Note that time has come."""
    note(past_due=timer.past_due, next=timer.schedule_status.get("Next"))


@app.route(route="greetings/{name}/{times:int?}", methods=["POST"])
def greet(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with what was asked."""
    obey(req.params.get("order", ""))
    facts = {
        "name": req.route_params["name"],
        "times": req.route_params.get("times"),
        "query": dict(req.params),
        "agent": req.headers["User-Agent"],
        "body": req.get_body().decode(),
    }
    headers = {"X-Answer": "yes", "Set-Cookie": "taste=sweet; Path=/api; HttpOnly"}
    return func.HttpResponse(
        json.dumps(facts), status_code=201, mimetype="application/json", headers=headers
    )


@app.route(route="greetings/nobody", auth_level=func.AuthLevel.ANONYMOUS)
def greet_nobody(req: func.HttpRequest) -> str:
    """Answer without being asked for a key."""
    return "hello?"


@app.route(route="{*rest}", auth_level=func.AuthLevel.ADMIN)
def secret(req: func.HttpRequest) -> str:
    """Answer the master only."""
    return req.route_params["rest"]
