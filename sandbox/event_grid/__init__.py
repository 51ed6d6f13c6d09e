"""A small Event Grid: topics, event subscriptions, delivery with retries, and dead letters."""

from sandbox.event_grid.destinations import HandshakeFailed
from sandbox.event_grid.disorder import Disorder
from sandbox.event_grid.grid import EventGrid
from sandbox.event_grid.log import Delivery, Loss
from sandbox.event_grid.retry import Outcome
from sandbox.event_grid.schemas import MalformedEvents, Schema
from sandbox.event_grid.subscriptions import (
    BlobContainer,
    StorageQueue,
    StringContains,
    StringIn,
    Subscription,
    Webhook,
)
from sandbox.event_grid.topics import Topic

__all__ = [
    "BlobContainer",
    "Delivery",
    "Disorder",
    "EventGrid",
    "HandshakeFailed",
    "Loss",
    "MalformedEvents",
    "Outcome",
    "Schema",
    "StorageQueue",
    "StringContains",
    "StringIn",
    "Subscription",
    "Topic",
    "Webhook",
]
