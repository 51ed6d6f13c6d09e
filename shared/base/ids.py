"""Names derived from keys, so that a worker finds its own work again after a crash."""

import hashlib
import re
import string

#: The tag, parameter or field that ties a run or model to its retraining. `parse_reference` reads
#: its value.
REFERENCE = "signalbox_retraining"

#: Names of online endpoints and deployments: 3 to 32 characters, a letter first, letters, digits
#: and single dashes, no dash last. Deployment names are kept in lower case, because the SDK
#: lower-cases them in traffic maps.
NAME_MAX = 32
NAME_MIN = 3
#: The shortest slug that still shows some of its text beside a digest of it.
SLUG_MIN = 8
_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9])*")

#: A name that people choose in reactions.yaml, and the rule for it in words.
GIVEN_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
GIVEN_NAME_RULE = "lower-case letters, digits and -, a letter first, at most 63 characters"


def digest(*parts: str) -> str:
    """Return 64 hex digits that no other sequence of parts has."""
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(framed.encode(errors="surrogatepass")).hexdigest()


def is_legal_name(name: str) -> bool:
    """Return whether AML accepts this as the name of an endpoint or a deployment."""
    return NAME_MIN <= len(name) <= NAME_MAX and _NAME.fullmatch(name) is not None


_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def folded(text: str) -> str:
    """Return an ARM id, or a part of one, in the casing by which its spellings are compared.

    Only A to Z have two casings there. `str.lower` would take a KELVIN SIGN for a k.
    """
    return text.translate(_ASCII)


def slug(text: str, *, room: int = NAME_MAX) -> str:
    """Turn any text into a legal name of at most `room` characters, from SLUG_MIN to NAME_MAX.

    Texts that differ only in characters that a name can't hold would get the same name. So a text
    that had to change in more than its casing gets a short digest of itself.
    """
    if not SLUG_MIN <= room <= NAME_MAX:
        raise ValueError(f"no legal name has a room of {room} characters")
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text.lower() and is_legal_name(plain) and len(plain) <= room:
        return plain
    tail = digest(text)[:5]
    head = plain if plain[:1].isalpha() else f"m-{plain}"
    head = head[: room - len(tail) - 1].strip("-")
    return f"{head}-{tail}"


def deployment_name(model: str, version: str, key: str) -> str:
    """Return the name of a deployment: it shows the model and version, and is unique to `key`."""
    version_part = re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")[:12].strip("-") or "x"
    tail = f"v{version_part}-{key[:6]}"
    head = slug(model, room=NAME_MAX - len(tail) - 1)
    return f"{head}-{tail}"


#: In place of the second half of a loop's id, in the reference of a launch.
_OF_LAUNCH = "0" * 16
_REFERENCE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})")


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return the ids of a loop and its retraining from a reference; None for other text."""
    found = _REFERENCE.fullmatch(text)
    return (found[1], found[2]) if found else None


def reference_of_launch(partition: str, launch_id: str) -> str:
    """Return the reference that ties a run to the launch of this id, 32 hex digits.

    `partition` are the 16 hex digits of its reaction.
    """
    return f"{partition}{_OF_LAUNCH}-{launch_id}"


def is_of_launch(reference: str) -> bool:
    """Say whether a reference ties a run to a launch, and to no loop."""
    ids = parse_reference(reference)
    return ids is not None and ids[0].endswith(_OF_LAUNCH)
