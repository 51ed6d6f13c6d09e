"""Nodes of an expression's syntax tree: their text, their place, and a fault at one."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.reactions.closures import Node


@dataclass(frozen=True, slots=True)
class ExpressionFault:
    """A part of an expression that can't be right. `offset` is from 0, None if not known."""

    message: str
    hint: str
    offset: int | None


def fault_at(node: Node, message: str, hint: str) -> ExpressionFault:
    """Return a fault with the place of a node that has one."""
    return ExpressionFault(message, hint, node.get("start"))


def fault_in(node: Node, message: str, hint: str) -> ExpressionFault:
    """Return a fault with the place of the first identifier in a node."""
    return fault_at(first_field(node) or node, message, hint)


def first_field(node: Node) -> Node | None:
    """Return the first identifier in the node, which has a place to point at."""
    if "start" in node:
        return node
    for child in node["children"]:
        place = first_field(child) if isinstance(child, dict) else None
        if place is not None:
            return place
    return None


def text_of_literal(node: Node) -> str:
    """Return the text that is written there, "" for a node that is no text."""
    value = node["value"] if node["type"] == "literal" else ""
    return value if isinstance(value, str) else ""


def items_of_list(node: Node) -> Iterator[Node]:
    """Yield the items of a list that is written there."""
    if node["type"] == "multi_select_list":
        yield from node["children"]
    elif node["type"] == "literal" and isinstance(node["value"], list):
        yield from ({"type": "literal", "value": item, "children": []} for item in node["value"])


def is_lowered(node: Node) -> bool:
    """Say whether a node is a call of lower()."""
    return bool(node["type"] == "function_expression" and node["value"] == "lower")
