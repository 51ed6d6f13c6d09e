"""Watches the files of an app that host.json names, as the real host does."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from sandbox.functions_host.host_json import HostJson

_LOOK_SECONDS = 0.25
#: The real host, too, waits until nothing has changed for so long, because many files may change.
_QUIET_SECONDS = 0.5

#: Each file with the time of its last change, in nanoseconds, and its size.
type _State = Mapping[Path, tuple[int, int]]


class FileWatch:
    """Looks at the watched files of an app, again and again.

    A file of `watchFiles` is looked for in the app's folder and in those directly in it. A file of
    `watchDirectories` may be at any depth.
    """

    def __init__(self, app_dir: Path, host_json: HostJson) -> None:
        self._app_dir = app_dir
        self._files = host_json.watch_files
        self._directories = host_json.watch_directories
        self._state = self._look()

    @property
    def watches(self) -> bool:
        """Return whether host.json names anything to watch."""
        return bool(self._files or self._directories)

    async def changed(self) -> None:
        """Return when something has changed since the last call, and then rested for a while."""
        while (state := await asyncio.to_thread(self._look)) == self._state:
            await asyncio.sleep(_LOOK_SECONDS)
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            before, state = state, await asyncio.to_thread(self._look)
            if before == state:
                self._state = state
                return

    def _look(self) -> _State:
        found: dict[Path, tuple[int, int]] = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue
            found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def _paths(self) -> Iterator[Path]:
        if self._files:
            below = (path for path in self._app_dir.iterdir() if path.is_dir())
            for folder in (self._app_dir, *below):
                yield from (folder / name for name in self._files)
        for name in self._directories:
            yield from (self._app_dir / name).rglob("*")
