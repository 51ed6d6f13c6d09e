"""Documents that are longer than one property of a row: split over several, and joined again."""

import json
from collections.abc import Mapping
from itertools import count, takewhile

from shared.base.outgoing import Clean, for_row
from shared.base.ports import Value

#: A property holds 32,000 UTF-16 units, and a character is two at the most.
_PART_MAX = 16_000
#: A row holds 1 MiB; the rest is for names and other properties.
_ROW_MAX = 960 * 1024


def split(document: str) -> dict[str, Value]:
    """Return the properties that hold a document: `document`, `document_1`, and so on."""
    document = for_row(document)  # a secret may lie across two of them
    starts = range(0, len(document), _PART_MAX)
    return {_name(n): Clean(document[start : start + _PART_MAX]) for n, start in enumerate(starts)}


def join(values: Mapping[str, Value]) -> str:
    """Return the document that `split` made these properties of."""
    names = takewhile(lambda name: name in values, map(_name, count()))
    return "".join(str(values[name]) for name in names)


def fits(document: str) -> bool:
    """Say whether a row has room for a document.

    Azure counts two bytes for each UTF-16 unit, Azurite those of the JSON that is sent. Sources:
    "How the size of an entity is calculated in Windows Azure table storage" (MSDN, 2011), and
    Azurite's TableHandler.
    """
    stored = len(document.encode("utf-16-le", "surrogatepass"))
    return max(stored, len(json.dumps(document))) <= _ROW_MAX


def _name(number: int) -> str:
    return f"document_{number}" if number else "document"
