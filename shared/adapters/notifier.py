"""Apprise's messages, sent within one deadline and by the guarded exchange.

Apprise itself stops waiting for a service, but on a thread that keeps the process from ending; its
requests read without limit, and follow redirects to any host.
"""

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.deadline import Started
from shared.adapters.http import Http
from shared.base.lazy import Lazy

if TYPE_CHECKING:
    import apprise

    from shared.adapters.requests_adapter import Carrier


class Notifier:
    """Has services of Apprise send messages; safe to share between threads."""

    def __init__(self, http: Http | None = None) -> None:
        """`http` makes the requests, except where a service's certificate is not to be checked."""
        self._http: Final = http or Http()
        self._unverified: Final = Lazy(lambda: Http(is_verified=False))

    def notify(
        self,
        services: "Iterable[apprise.NotifyBase]",
        *,
        seconds: float,
        format_of: "Callable[[apprise.NotifyBase], apprise.NotifyFormat]",
        **message: Any,
    ) -> bool:
        """Have each service send the message, and say whether all did within `seconds`.

        The services are sent to side by side. `message` is what Apprise's own `notify` takes, and
        `format_of` says in which format it is given to each.
        """
        deadline = monotonic() + seconds
        started = [
            Started(
                partial(self._send, one, deadline, {**message, "body_format": format_of(one)}),
                name="notify",
            )
            for one in services
        ]
        return all([_is_told(sending, deadline - monotonic()) for sending in started])

    def _send(
        self, service: "apprise.NotifyBase", deadline: float, message: dict[str, Any]
    ) -> bool:
        import apprise

        from shared.adapters.requests_adapter import carried

        # Even if its URL asks for them.
        service.redirects = False
        alone = apprise.Apprise(asset=service.asset)
        alone.add(service)
        with carried(self._carrier(deadline)):
            return bool(alone.notify(**message))

    def _carrier(self, deadline: float) -> "Carrier":
        from shared.adapters.requests_adapter import Carrier

        return Carrier(
            lambda is_verified: self._http if is_verified else self._unverified(),
            seconds=lambda: deadline - monotonic(),
        )


def asset() -> "apprise.AppriseAsset":
    """Return the settings under which services of Apprise are made."""
    import apprise

    return apprise.AppriseAsset(
        app_id="Signalbox",
        # In memory, because some services would keep tokens on disk.
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        http_redirects=False,
        # 0: Apprise's own deadline would hand the service to another thread.
        service_timeout=0,
    )


def _is_told(sending: "Started[bool]", seconds: float) -> bool:
    try:
        return sending.result(seconds)
    except TimeoutError:
        return False
