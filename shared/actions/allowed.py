"""The names that tags and properties may choose for an action: those that its `allow` lists.

Anybody who registers a model or runs a job sets its tags and properties. If these name an endpoint,
or decide its cost, they choose among the names that the reaction's author listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from shared.base.errors import TagForbidden
from shared.base.ids import slug
from shared.base.redact import redact
from shared.base.words import listed
from shared.reactions.model import Params, Step
from shared.reactions.templates import is_made_from_tags, value_at
from shared.schema.values import Values

#: The field that a list under `allow` is for, if it has another name.
_OTHER = {
    "probe_request": "probe.request",
    "environment_variables": "environment_variables.*",
    "identity": "identity.ids",
}


def guarded_by(
    allow: type[Values], more: Mapping[str, str] = MappingProxyType({})
) -> Mapping[str, str]:
    """Return `Params.guarded` for the lists under `allow`, and for more fields."""
    return MappingProxyType(
        {_OTHER.get(name, name): name for name in allow.model_fields} | dict(more)
    )


def require_allowed(step: Step, params: Params, data: Mapping[str, object]) -> None:
    """Refuse values that a tag chose and `allow` does not list.

    `params` are the step's values for the event with these data.

    Raises: TagForbidden.
    """
    for field, guard in _each(params):
        template = value_at(step.params, field)
        if not is_made_from_tags(template, data):
            continue
        globs = globs_of(params, guard)
        for name in _names(params, field, template, data):
            # AML would put a secret in its place, which no tag may ask for: not even with `*`.
            if name.startswith("${{") or not is_allowed(name, globs):
                raise TagForbidden(
                    f"`{field}` is {redact(name, most=100)!r} by a tag; `allow.{guard}` lists"
                    f" {listed(globs, len(globs))}"
                )


def _each(params: Params) -> Iterator[tuple[str, str]]:
    """Yield each guarded field with its list; one that ends in `.*` is each entry of a mapping."""
    for field, guard in params.guarded.items():
        above = field.removesuffix(".*")
        entries = _read(params, above) if above != field else None
        if isinstance(entries, Mapping):
            yield from ((f"{above}.{name}", guard) for name in entries)
        else:
            yield field, guard


def globs_of(params: Params, guard: str) -> tuple[str, ...]:
    """Return the globs of a list under `allow`."""
    globs = _read(params, f"allow.{guard}")
    assert isinstance(globs, tuple)
    return tuple(map(str, globs))


def is_allowed(name: str, globs: Sequence[str]) -> bool:
    """Say whether a name matches one of the globs, in any casing."""
    return any(fnmatchcase(name.lower(), glob.lower()) for glob in globs)


def _names(
    params: Params, field: str, template: object, data: Mapping[str, object]
) -> Iterator[str]:
    value = _read(params, field)
    if value is None:
        return
    if isinstance(value, Values):
        yield from _chosen_within(value, template, data)
        return
    for name in map(str, value if isinstance(value, Mapping | tuple) else (value,)):
        if name:
            # An endpoint's name is compared as it is used.
            yield slug(name) if field == "endpoint" else name


def _chosen_within(values: Values, template: object, data: Mapping[str, object]) -> Iterator[str]:
    """Yield those of values that belong together that a tag or a property chose."""
    for name, value in values:
        made_by = template.get(name) if isinstance(template, Mapping) else template
        if value and is_made_from_tags(made_by, data):
            yield str(value)


def _read(params: Params, field: str) -> object:
    value: object = params
    for part in field.split("."):
        if value is not None:
            value = value[part] if isinstance(value, Mapping) else getattr(value, part)
    return value
