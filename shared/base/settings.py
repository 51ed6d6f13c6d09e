"""The app settings: read once, validated, each documented in docs/reference/settings.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from shared.base.errors import SettingInvalid

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

#: The folder that holds host.json: paths in settings and reactions are relative to it.
APP_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One of Azure's clouds: its name in Microsoft's SDKs, and its AML.

    `aml` is the address of the studio, and the audience of tokens for AML's own services.
    """

    name: str
    aml: str


#: The addresses that services have where no setting says otherwise.
PUBLIC_ARM = "https://management.azure.com"
PUBLIC_AML = "https://ml.azure.com"
PUBLIC_DEVOPS = "https://dev.azure.com"
PUBLIC_GITHUB = "https://api.github.com"
#: By the address of their Azure Resource Manager; a test compares them with azure-ai-ml's.
CLOUDS: Final[Mapping[str, Cloud]] = MappingProxyType(
    {
        PUBLIC_ARM: Cloud(name="AzureCloud", aml=PUBLIC_AML),
        "https://management.usgovcloudapi.net": Cloud(
            name="AzureUSGovernment", aml="https://ml.azure.us"
        ),
        "https://management.chinacloudapi.cn": Cloud(
            name="AzureChinaCloud", aml="https://ml.azure.cn"
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The app settings. Channels and %SETTING% references are looked up in `environ`."""

    environ: Mapping[str, str]
    reactions: Path
    arm_endpoint: str
    #: The audience of tokens for AML's own services and its endpoints.
    aml_audience: str
    studio_endpoint: str
    devops_endpoint: str
    github_endpoint: str
    #: How long a claim or a tick is exclusively its holder's.
    lease: timedelta
    #: How long a trigger may work before it hands the rest over.
    budget: timedelta
    #: The first wait of a letter; later ones are longer.
    retry_base: timedelta
    #: How long outcomes, claims, and closed letters and rollouts are kept.
    retention: timedelta
    #: The length of time that one value of an endpoint's metrics covers.
    metrics_grain: timedelta
    #: The topic on which outcomes are published; "" for none.
    outcomes_topic: str = ""


def reactions_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the reactions file, for the app and for commands that check it."""
    return APP_ROOT / environ.get("SIGNALBOX_REACTIONS", "reactions.yaml")


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from app settings.

    Raises: SettingInvalid, with the setting, its value where that is no secret, and what it takes.
    """
    arm_endpoint = _origin(environ, "SIGNALBOX_ARM_ENDPOINT", PUBLIC_ARM)
    # Any other address, such as that of a stand-in, counts as the public cloud.
    cloud = CLOUDS.get(arm_endpoint.lower(), CLOUDS[PUBLIC_ARM])
    return Settings(
        environ=environ,
        reactions=reactions_file(environ),
        arm_endpoint=arm_endpoint,
        aml_audience=cloud.aml,
        studio_endpoint=_origin(environ, "SIGNALBOX_STUDIO_ENDPOINT", cloud.aml),
        devops_endpoint=_origin(environ, "SIGNALBOX_DEVOPS_ENDPOINT", PUBLIC_DEVOPS),
        github_endpoint=_origin(environ, "SIGNALBOX_GITHUB_ENDPOINT", PUBLIC_GITHUB),
        lease=timedelta(seconds=_number(environ, "SIGNALBOX_LEASE_SECONDS", 60)),
        budget=timedelta(seconds=_number(environ, "SIGNALBOX_BUDGET_SECONDS", 20)),
        retry_base=timedelta(seconds=_number(environ, "SIGNALBOX_RETRY_SECONDS", 10)),
        retention=timedelta(days=_number(environ, "SIGNALBOX_RETENTION_DAYS", 30)),
        metrics_grain=timedelta(seconds=_number(environ, "SIGNALBOX_METRICS_GRAIN_SECONDS", 60)),
        outcomes_topic=_name(environ, "SIGNALBOX_OUTCOMES_TOPIC"),
    )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise SettingInvalid(f"{name} is {text!r}", hint=f"{name} takes a whole number above 0.")
    return int(text)


def _name(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "").strip()
    if text and not _NAME.fullmatch(text):
        # Not shown, because it may be an address with a secret in it.
        raise SettingInvalid(
            f"{name} is no name of a topic",
            hint=f"{name} takes a name such as `outcomes`; SIGNALBOX_TOPIC_OUTCOMES then holds the"
            " endpoint.",
        )
    return text


def _origin(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name, default).rstrip("/").removesuffix(":443")
    if not text.startswith("https://"):
        raise SettingInvalid(f"{name} is {text!r}", hint=f"{name} takes an https:// address.")
    return text
