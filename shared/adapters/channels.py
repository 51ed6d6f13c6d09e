"""People's channels, through Apprise: a channel's name leads to the app setting with its URL."""

import logging
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Final

from shared.adapters.notifier import Notifier, asset
from shared.adapters.untraced import untraced
from shared.errors import ChannelDown, ChannelUnknown

if TYPE_CHECKING:
    import apprise

_PREFIX = "SIGNALBOX_CHANNEL_"
#: In seconds, for the whole of it: connecting to some mail servers alone may take 15.
_TIMEOUT: Final = 10


class AppriseChannels:
    """The channels that the app settings name, safe to share between threads.

    A channel's URL is a secret: it is in no error and no log.
    """

    def __init__(self, environ: Mapping[str, str], *, notifier: Notifier | None = None) -> None:
        """Look channels up in these app settings, when they are used."""
        self._environ: Final = environ
        self._notifier: Final = notifier or Notifier()

    def send(self, channel: str, *, title: str, text: str, good: bool | None) -> None:
        """Send one message; raise ChannelDown or ChannelUnknown.

        It takes no longer than 10 s, and what has not ended then is left behind. Where the setting
        holds several URLs, all are told, and one that fails is a failure.
        """
        setting = setting_name(channel)
        url = self._environ.get(setting, "").strip()
        if not url:
            raise ChannelUnknown(f"no channel {channel!r}: {setting} is not set")
        import apprise

        _hush()
        # Made anew for each message: kept ones sleep between two, to spare their service.
        notifier = _make_notifier()
        if not notifier.add(_service(url, notifier.asset) or url):
            raise ChannelUnknown(f"no channel {channel!r}: Apprise can't read {setting}")
        kinds = apprise.NotifyType
        kind = {True: kinds.SUCCESS, False: kinds.FAILURE, None: kinds.INFO}[good]
        with untraced():
            is_told = self._notifier.notify(
                notifier,
                seconds=_TIMEOUT,
                body=text if text.strip() else title,  # Apprise sends nothing that has no body
                title=title,
                notify_type=kind,
                body_format=apprise.NotifyFormat.TEXT,
            )
        if not is_told:
            raise ChannelDown(f"channel {channel!r} did not take the message")


def setting_name(channel: str) -> str:
    """Return the name of the app setting that holds the channel's URL."""
    return _PREFIX + channel.upper().replace("-", "_")


def _make_notifier() -> "apprise.Apprise":
    import apprise

    return apprise.Apprise(asset=asset())


def _service(url: str, asset: "apprise.AppriseAsset") -> "apprise.NotifyBase | None":
    """Return the one service that a URL is for, or None to let Apprise look for it.

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
        except TypeError:  # Apprise says of this what is wrong
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

    Apprise logs what it was given when it can't read it, and the text of connection errors, which
    has the path; urllib3 logs each request's path when it debugs. Many services have their secret
    there. Apprise logs nothing above ERROR but that something is deprecated.
    """
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    noisy = logging.getLogger("urllib3.connectionpool")
    if noisy.getEffectiveLevel() < logging.INFO:
        noisy.setLevel(logging.INFO)
