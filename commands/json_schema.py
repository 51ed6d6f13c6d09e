"""The JSON Schema of a rules file, for editors: made from the types that the loader reads it with.

A schema can't follow every rule of the loader, so a file that it takes may still have mistakes.
`signalbox check` finds those.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from shared.actions import ACTIONS
from shared.base.ids import GIVEN_NAME
from shared.events.model import EventType
from shared.messages.schema import Messages
from shared.orphans.schema import Orphans
from shared.reactions.channels import CHANNEL
from shared.reactions.freezes import FreezeParams
from shared.reactions.limits import CooldownParams, OncePerParams, StartsParams
from shared.reactions.load import CHAIN_MOST, VERSION
from shared.reactions.model import Params
from shared.reactions.schedule import ReactionSchedule
from shared.reactions.shapes import FreeMap, RecordShape, Shape, shape_of
from shared.reactions.vars import NAME as VAR_NAME
from shared.rollouts.strategy.ready_made import READY_MADE
from shared.rollouts.strategy.schema import StrategyParams
from shared.schema.values import Values

type Schema = dict[str, Any]

DIALECT = "http://json-schema.org/draft-07/schema#"
_REF = "#/definitions/{model}"
_EXPRESSION: Schema = {"$ref": _REF.format(model="expression")}


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which only repeat a name, and defaults that are not written so."""

    def get_title_from_name(self, name: str) -> str:
        return ""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        return dft if isinstance(dft, str | bool | int) else None


def make_schema() -> Schema:
    """Return the JSON Schema of a rules file."""
    definitions: Schema = {
        "expression": {
            "type": "string",
            "pattern": r"\$\{\{",
            "description": "Text that is completed from the event: ${{ model.name }}.",
        }
    }
    actions = {name: _action(ACTIONS[name], definitions) for name in sorted(ACTIONS)}
    strategy = _of_model(StrategyParams, definitions)
    # One that is based on a ready-made strategy has no steps of its own.
    strategy = {name: item for name, item in strategy.items() if name != "required"}
    definitions["strategy"] = strategy
    definitions["reaction"] = _reaction(actions, definitions)
    return {
        "$schema": DIALECT,
        "title": "reactions.yaml",
        "description": "The rules of Signalbox: on this event, when this holds, do these actions.",
        "type": "object",
        "properties": _file(definitions, actions),
        # The others may stand in another file of the folder.
        "required": ["version"],
        "additionalProperties": False,
        "definitions": dict(sorted(definitions.items())),
    }


def _freeze_names(description: str) -> Schema:
    items = {"type": "string", "pattern": _whole(GIVEN_NAME)}
    return {"description": description, "type": "array", "items": items}


def _file(definitions: Schema, actions: Schema) -> Schema:
    plain = {"type": ["string", "number", "boolean"]}
    names = {"type": "array", "items": {"type": "string", "pattern": _whole(CHANNEL)}}
    return {
        "version": {"const": VERSION},
        "workspaces": {
            "description": "ARM ids of workspaces, or %NAME% for an app setting with one.",
            "type": "array",
            "items": {"type": "string"},
        },
        "channels": {"description": "The channels that reactions may name.", **names},
        "topics": {"description": "The topics that `publish` may name.", **names},
        "vars": {
            "description": "Values that expressions read as vars.NAME.",
            "type": "object",
            "propertyNames": {"pattern": _whole(VAR_NAME)},
            "additionalProperties": {
                "anyOf": [plain, {"type": "array", "minItems": 1, "items": plain}]
            },
        },
        "defaults": {
            "description": "Values of actions, for every reaction that leaves them out.",
            "type": "object",
            "properties": actions,
            "additionalProperties": False,
        },
        "rollouts": {
            "description": "Strategies that `deploy` may name.",
            "type": "object",
            "propertyNames": {"pattern": _whole(GIVEN_NAME), "not": {"enum": [*READY_MADE]}},
            "additionalProperties": {"$ref": _REF.format(model="strategy")},
        },
        "orphans": _of_model(Orphans, definitions),
        "chain_limit": {
            "description": "How many reactions may set one another off.",
            "type": "integer",
            "minimum": 1,
            "maximum": CHAIN_MOST,
        },
        "find_models": {
            "description": "Whether the sweep looks for models that Event Grid never reported.",
            "type": "boolean",
        },
        "messages": _of_model(Messages, definitions),
        "freezes": {
            "description": "Windows of time in which reactions do nothing, by name.",
            "type": "object",
            "propertyNames": {"pattern": _whole(GIVEN_NAME)},
            "additionalProperties": _of_model(FreezeParams, definitions),
        },
        "freeze": _freeze_names(
            "The freezes of reactions that name none and do more than tell people."
        ),
        "reactions": {"type": "array", "items": {"$ref": _REF.format(model="reaction")}},
    }


def _reaction(actions: Schema, definitions: Schema) -> Schema:
    cooldown = _of_model(CooldownParams, definitions)["properties"]["cooldown"]
    types = [str(event_type) for event_type in EventType]
    properties: Schema = {
        "name": {"type": "string", "pattern": _whole(GIVEN_NAME)},
        "description": {"type": "string"},
        "enabled": {"type": "boolean", "default": True},
        "on": {
            "description": "The types of event that it is for: one, or a list.",
            "anyOf": [
                {"enum": types},
                {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": types}},
            ],
        },
        "schedule": _of_model(ReactionSchedule, definitions),
        "when": {"type": "string", "description": "The condition, in JMESPath."},
        "breaches": {
            "description": "Whether it also takes runs in which a model monitor found a breach.",
            "type": "boolean",
            "default": False,
        },
        "dry_run": {
            "description": "Whether the steps are only said, and not done.",
            "type": "boolean",
            "default": False,
        },
        "freeze": _freeze_names("Its freezes, in place of those of the file."),
        "limit": _of_model(StartsParams, definitions),
        "cooldown": cooldown | {"description": "The time after a start without another."},
        "once_per": _of_model(OncePerParams, definitions),
        "do": {
            "description": "The actions, in order.",
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": actions,
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "on", "do"],
        "additionalProperties": False,
        "allOf": [*_fitting_events(), *map(_condition, EventType)],
    }


def _fitting_events() -> Iterator[Schema]:
    """Yield for each action that takes some types of event only that the reaction is on these."""
    for name in sorted(ACTIONS):
        events = sorted(ACTIONS[name].events)
        if events:
            has_it = {"properties": {"do": {"contains": {"required": [name]}}}, "required": ["do"]}
            one_of = {"enum": events, "errorMessage": f"`{name}` is for {' or '.join(events)}."}
            on = {"anyOf": [one_of, {"type": "array", "items": one_of}]}
            yield {"if": has_it, "then": {"properties": {"on": on}}}


def _condition(event_type: EventType) -> Schema:
    """Return what `when` may read of events of one type, with the fields as completions."""
    fields = sorted(_fields(shape_of(event_type), ""))
    when = {
        "pattern": _reads_known_fields(shape_of(event_type)),
        "patternErrorMessage": f"A {event_type} event has no such field: {', '.join(fields)}.",
        "defaultSnippets": [{"label": field, "body": field} for field in fields],
    }
    is_on = {"properties": {"on": {"const": str(event_type)}}, "required": ["on"]}
    return {"if": is_on, "then": {"properties": {"when": when}}}


def _fields(shape: Shape, path: str) -> Iterator[str]:
    """Yield the paths of the fields that an expression can read."""
    if isinstance(shape, RecordShape):
        for name, inner in shape.fields.items():
            yield from _fields(inner, f"{path}.{name}" if path else name)
    else:
        yield f"{path}." if isinstance(shape, FreeMap) else path


def _reads_known_fields(shape: RecordShape) -> str:
    """Return a pattern of the expressions that read no field which such events never have.

    Text in quotes is passed over. Only what stands before a dot is compared, because a bare word
    may be a function's, or a field of a list's item.
    """
    records = {
        name: inner for name, inner in shape.fields.items() if isinstance(inner, RecordShape)
    }
    roots = "|".join(sorted([*shape.fields, "vars"]))
    unknown = [rf"(?!(?:{roots})\.)[a-z_]+\.[a-z_]"]
    for name, record in sorted(records.items()):
        known = "|".join(sorted(record.fields))
        unknown.append(rf"{name}\.(?!(?:{known})\b)[A-Za-z_]")
    wrong = rf"(?<![\w.\]@&])(?:{'|'.join(unknown)})"
    quoted = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`"""
    return rf"""^(?:{quoted}|(?!{wrong})[^'"`])*$"""


def _action(params: type[Params], definitions: Schema) -> Schema:
    schema = _of_model(params, definitions, holds_expressions=True)
    if field := params.per_item:
        one = schema["properties"][field]
        several = {"type": "array", "minItems": 1, "items": one}
        schema["properties"][field] = {"anyOf": [*one.get("anyOf", [one]), several]}
    # `defaults` may have what is missing, so that `check` looks for it and not the editor.
    schema.pop("required", None)
    return {**schema, "type": ["object", "null"]}


def _of_model(
    model: type[Values], definitions: Schema, *, holds_expressions: bool = False
) -> Schema:
    """Return the schema of a model; those of the models within it go to the definitions.

    With `holds_expressions` each value may also be made from the event.
    """
    template = _REF.replace("{model}", "{model}Expr") if holds_expressions else _REF
    schema = model.model_json_schema(schema_generator=_Generator, ref_template=template)
    suffix = "Expr" if holds_expressions else ""
    inner = schema.pop("$defs", {})
    for name, item in inner.items():
        is_allow = name.startswith("Allow")
        tidy = _tidy(item)
        definitions[name + suffix] = _open(tidy) if holds_expressions and not is_allow else tidy
    tidy = _tidy(schema)
    return _open(tidy) if holds_expressions else tidy


def _tidy(schema: Any) -> Any:
    """Return a schema without titles, and without defaults that nobody would write."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {key: _tidy(item) for key, item in value.items()}
        if name == "properties"
        else _tidy(value)
        for name, value in schema.items()
        if name != "title" and not (name == "default" and not _is_written(value, schema))
    }


def _is_written(default: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether a default is one that people could write."""
    if default in ("", None, [], {}):
        return False
    return isinstance(default, str) is (schema.get("type", "string") == "string")


def _open(schema: Schema) -> Schema:
    """Return the schema of a mapping whose values may also be made from the event."""
    opened = dict(schema)
    if "properties" in schema:
        opened["properties"] = {
            name: item if name == "allow" else _or_expression(item)
            for name, item in schema["properties"].items()
        }
    if isinstance(schema.get("additionalProperties"), dict):
        opened["additionalProperties"] = _or_expression(schema["additionalProperties"])
    return opened


def _or_expression(schema: Schema) -> Schema:
    if set(schema) <= {"type", "description"} and schema.get("type") == "string":
        return schema
    if schema.get("type") == "array" and "items" in schema:
        schema = {**schema, "items": _or_expression(schema["items"])}
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    bare = {key: item for key, item in schema.items() if key not in about}
    return {**about, "anyOf": [*(bare.get("anyOf", [bare])), _EXPRESSION]}


def _whole(pattern: re.Pattern[str]) -> str:
    return f"^(?:{pattern.pattern})$"
