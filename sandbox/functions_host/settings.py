"""App settings: read from local.settings.json, and looked up by bindings."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from sandbox.functions_host.errors import HostError

_PLACEHOLDER = re.compile(r"%([^%]+)%")


def load_local_settings(path: Path) -> dict[str, str]:
    """Read the `Values` of a local.settings.json."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise HostError(f"{path} does not exist") from None
    except json.JSONDecodeError as error:
        raise HostError(f"{path} is not JSON: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"{path} can't be read: {error}") from error
    except RecursionError:
        raise HostError(f"{path} is nested too deep") from None
    if isinstance(content, dict) and content.get("IsEncrypted"):
        raise HostError(f"{path} is encrypted: run `func settings decrypt` first")
    values = content.get("Values", {}) if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise HostError(f"{path} needs an object `Values` of names and texts")
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise HostError(f"{path}: `Values.{name}` should be text")
    return {name: str(value) for name, value in values.items()}


def resolve(text: str, settings: Mapping[str, str]) -> str:
    """Put the settings' values in place of each `%NAME%`."""

    def value(match: re.Match[str]) -> str:
        found = _look_up(settings, match[1])
        if found is None:
            raise HostError(f"{text!r} does not resolve: there is no app setting {match[1]!r}")
        return found

    return _PLACEHOLDER.sub(value, text)


def connection_string(name: str | None, settings: Mapping[str, str]) -> str:
    """Return the storage connection string that a binding's `connection` names."""
    name = name or "AzureWebJobsStorage"
    # "Storage" may mean AzureWebJobsStorage: the real host tries the prefixed name first.
    for candidate in (f"AzureWebJobs{name}", name):
        if found := _look_up(settings, candidate):
            return found
    if any(key.casefold().startswith(f"{name}__".casefold()) for key in settings):
        raise HostError(
            f"connection {name!r} is an identity-based connection, which this host "
            "does not provide: give it a connection string"
        )
    raise HostError(f"there is no app setting {name!r} with a storage connection string")


def _look_up(settings: Mapping[str, str], name: str) -> str | None:
    # .NET configuration, which the real host reads settings through, ignores case.
    folded = {key.casefold(): value for key, value in settings.items()}
    return folded.get(name.casefold())
