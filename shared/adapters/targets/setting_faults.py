"""Faults of the app settings that a target needs, found before it is used. Nothing is sent."""

from collections.abc import Iterator, Mapping

from shared.adapters.targets.github import TOKEN_SETTING
from shared.adapters.targets.webhook import check_secrets, webhook_setting
from shared.base.errors import SettingInvalid
from shared.retraining.targets import WebhookTarget
from shared.schema.values import Values

#: The platform puts the vault's value in the place of such a reference.
_REFERENCE = "@Microsoft.KeyVault("


def find_target_fault(
    environ: Mapping[str, str], kind: str, target: Values
) -> tuple[str, str] | None:
    """Return the fault of the settings of a target of this kind, and a hint, or None.

    Nothing of a setting's value is returned. The targets that sign in as the app need no setting.
    """
    settings = {name: environ.get(name, "").strip() for name in _settings(kind, target)}
    unset = [f"`{name}`" for name, value in settings.items() if not value]
    right = f"docs/reference/targets.md says what target `{kind}` needs."
    if unset:
        are = "are" if len(unset) > 1 else "is"
        plural = "s" if len(unset) > 1 else ""
        return f"the app setting{plural} {' and '.join(unset)} {are} not set", right
    for name, value in settings.items():
        if value.startswith(_REFERENCE):
            continue
        if name.endswith("_URL") and not value.lower().startswith("https://"):
            return f"the app setting `{name}` holds no https address", right
        if name.endswith("_SECRET"):
            try:
                check_secrets(value, name)
            except SettingInvalid as error:
                return f"the app setting `{name}` holds no webhook secret", error.hint
        if name == TOKEN_SETTING and any(map(str.isspace, value)):
            return f"the app setting `{name}` holds no token: there are blanks in it", right
    return None


def _settings(kind: str, target: Values) -> Iterator[str]:
    if kind == "github":
        yield TOKEN_SETTING
    elif isinstance(target, WebhookTarget):
        yield webhook_setting(target.name, "URL")
        yield webhook_setting(target.name, "SECRET")
