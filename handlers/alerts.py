"""HTTP trigger: an action group of Azure Monitor tells of an alert."""

import json
import logging

import azure.functions as func

from handlers._binding import traceparent_of
from shared.base import telemetry
from shared.base.errors import EventMalformed, failure_of
from shared.events.envelopes import MAX_BODY, read_alerts
from shared.services import services

log = logging.getLogger(__name__)

_HINT = "Send alerts of Azure Monitor, in the common alert schema: see docs/how-to/hosting.md."

bp = func.Blueprint()


@bp.route(
    route="alerts",
    methods=["POST"],
    auth_level=func.AuthLevel.FUNCTION,
    trigger_arg_name="request",
)
def alerts(request: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """React to the alerts in a request: 202 when the fate of each is on record.

    A body that holds none is refused with 400 or 413, and not kept: whoever sent it is told.
    """
    body = request.get_body()
    if len(body) > MAX_BODY:
        return _answer(413, EventMalformed.code, f"the body is larger than {MAX_BODY:,} bytes")
    try:
        raws = read_alerts(body)
    except EventMalformed as error:
        return _answer(400, error.code, error.message, hint=_HINT)
    try:
        with telemetry.caused_by(traceparent_of(context)):
            services().react.react_to_all(raws)
    except Exception as error:
        # An exception would be a 500, after which an action group does not come again.
        log.exception("an alert could not be recorded")
        return _answer(503, failure_of(error).code, "the alert could not be recorded")
    return func.HttpResponse(status_code=202)


def _answer(status: int, code: str, message: str, **more: str) -> func.HttpResponse:
    body = json.dumps({"error": {"code": code, "message": message, **more}})
    return func.HttpResponse(body, status_code=status, mimetype="application/json")
