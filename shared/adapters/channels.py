"""People's channels, through Apprise: a channel's name leads to the app setting with its URL."""

import logging
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.notifier import Notifier, asset
from shared.adapters.untraced import untraced
from shared.base.errors import ChannelDown, ChannelUnknown
from shared.base.outgoing import for_message

if TYPE_CHECKING:
    import apprise

_PREFIX = "SIGNALBOX_CHANNEL_"
#: In seconds, for the whole of it: connecting to some mail servers alone may take 15.
_TIMEOUT: Final = 10
TITLE_MAX: Final = 250
TEXT_MAX: Final = 8_000
#: A service whose messages are shorter gets the beginning; the others get several messages.
_SPLIT_FROM: Final = 500


class AppriseChannels:
    """The channels that the app settings name, safe to share between threads.

    A channel's URL is a secret: it is in no error and no log.
    """

    def __init__(self, environ: Mapping[str, str], *, notifier: Notifier | None = None) -> None:
        """Look channels up in these app settings, when they are used."""
        self._environ: Final = environ
        self._notifier: Final = notifier or Notifier()

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        """Send one message, as plain text; raise ChannelDown or ChannelUnknown.

        A text that is too long for a service comes in several messages, or is cut where those
        would be very short. Mentions, and links with a text of their own, do nothing.

        It takes no longer than 10 s; a service that has not answered by then is left behind. Where
        the setting holds several URLs, all get the message, and one that fails is a failure.
        """
        setting = channel_setting(channel)
        url = self._environ.get(setting, "").strip()
        if not url:
            raise ChannelUnknown(f"no channel {channel!r}: {setting} is not set")
        import apprise

        # Made for each message, because services that are kept sleep between two messages.
        services = _services(url)
        if not services:
            raise ChannelUnknown(f"no channel {channel!r}: Apprise can't read {setting}")
        for service in services:
            _fit(channel, service)
        title, text = for_message(title, most=TITLE_MAX), for_message(text, most=TEXT_MAX)
        kinds = apprise.NotifyType
        kind = {True: kinds.SUCCESS, False: kinds.FAILURE, None: kinds.INFO}[good]
        with untraced():
            is_told = self._notifier.notify(
                services,
                seconds=_TIMEOUT,
                format_of=_format_of,
                body=text if text.strip() else title,  # Apprise sends nothing that has no body
                title=title,
                notify_type=kind,
            )
        if not is_told:
            raise ChannelDown(f"channel {channel!r} did not take the message")


def channel_setting(channel: str) -> str:
    """Return the name of the app setting that holds the channel's URL."""
    return _PREFIX + channel.upper().replace("-", "_")


def find_channel_fault(environ: Mapping[str, str], channel: str) -> tuple[str, str] | None:
    """Return the fault of a channel's app setting and how to correct it, or None.

    Nothing is sent, and nothing of the setting's value is returned.
    """
    setting = channel_setting(channel)
    url = environ.get(setting, "").strip()
    right = f"Set it to the Apprise URL of channel '{channel}'."
    if not url:
        return f"the app setting `{setting}` is not set", right
    if url.startswith("@Microsoft.KeyVault("):
        return None  # the platform puts the vault's value in its place
    if not _services(url):
        return f"the app setting `{setting}` holds no address that Apprise can read", right
    return None


def _services(url: str) -> "tuple[apprise.NotifyBase, ...]":
    """Return the services of the URLs in a setting, () where Apprise can't read it."""
    import apprise

    _hush()
    found = apprise.Apprise(asset=asset())
    is_read = found.add(_service(url, found.asset) or url)
    return tuple(found) if is_read else ()


def _format_of(service: "apprise.NotifyBase") -> "apprise.NotifyFormat":
    """Return the format under which a service gets a plain text.

    Apprise escapes it for HTML. For Markdown it would put a backslash before each dot of an
    address, which then leads nowhere; as Markdown our texts may look odd, and no more.
    """
    import apprise

    formats = apprise.NotifyFormat
    is_markdown = service.resolve_format(formats.TEXT) == formats.MARKDOWN
    return formats.MARKDOWN if is_markdown else formats.TEXT


def _fit(channel: str, service: Any) -> None:
    """Make a service of Apprise take messages of any length, and send every one.

    Raises: ChannelUnknown where the setting makes it send nothing.
    """
    import apprise

    modes = apprise.OverflowMode
    if service.overflow_mode == modes.UPSTREAM:
        is_short = service.body_maxlen < _SPLIT_FROM
        service.overflow_mode = modes.TRUNCATE if is_short else modes.SPLIT
    # Apprise would wait for seconds between the pieces. There are eight at most.
    service.request_rate_per_sec = 0
    if "new" in service.template_args.get("action", {}).get("values", ()):
        # Opsgenie and Jira: by default, a message that is not bad news only closes, or adds to, an
        # alert of the same notifier. There is none, and they report success all the same.
        if service.action not in ("map", "new"):
            raise ChannelUnknown(
                f"channel {channel!r} would tell nobody: `action={service.action}` makes no alert",
                hint=f"Take `action` out of {channel_setting(channel)}.",
            )
        service.action = "new"


def _service(url: str, asset: "apprise.AppriseAsset") -> "apprise.NotifyBase | None":
    """Return the one service of a URL, or None to let Apprise look for it.

    Apprise would load all of its 170 services to find one, a third of a cold start. Many are
    modules of their schema's name.
    """
    schema = url.partition("://")[0].lower()
    if not schema.isalnum() or url.count("://") > 1:
        return None
    plain = schema.removesuffix("s")
    for name in (schema, plain, f"custom_{plain}"):
        try:
            module = import_module(f"apprise.plugins.{name}")
        except ImportError:
            continue
        kind = _kind(module, schema)
        parsed = kind.parse_url(url) if kind is not None else None
        if kind is None or not parsed:
            return None
        try:
            return kind(**{**parsed, "asset": asset})
        except TypeError:  # Apprise itself says what is wrong
            return None
    return None


def _kind(module: ModuleType, schema: str) -> "type[apprise.NotifyBase] | None":
    import apprise

    for kind in vars(module).values():
        if not isinstance(kind, type) or not issubclass(kind, apprise.NotifyBase):
            continue
        # A method that is meant to be given the class.
        schemas = kind.schemas(kind)  # type: ignore[no-untyped-call, arg-type]
        if schema in schemas and kind.enabled:
            return kind
    return None


def _hush() -> None:
    """Keep URLs out of the log.

    Apprise logs a URL that it can't read, and the text of connection errors, which has the path;
    urllib3 logs the path of each request at DEBUG. Many services have their secret there. Apprise
    logs nothing above ERROR but deprecations.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    noisy = logging.getLogger("urllib3.connectionpool")
    if noisy.getEffectiveLevel() < logging.INFO:
        noisy.setLevel(logging.INFO)
