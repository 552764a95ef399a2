"""The last known size of one folder. Owns the thread that walks it, so that whoever asks is never held up by a disk.

Called on the plugin's own thread alone; only the walk runs beside it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health
from tapi_storage_meter.walk import measure

if TYPE_CHECKING:
    from tapi_storage_meter.walk import Size

_LONG: Final = timedelta(hours=6)
"""A walk that takes this long hangs, or might as well."""

_log = logging.getLogger(__name__)


class Gauge:
    """Measures ``folder`` when told to."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._size: Size | None = None
        self._trouble = ""
        self._walk: Thread | None = None
        self._since = monotonic()

    @property
    def size(self) -> Size | None:
        """What the last walk found; ``None``: none has ended yet, or it failed, or the present one hangs."""
        return None if self._hangs() else self._size

    def start(self) -> None:
        """Begin a walk, unless the last one is still under way."""
        if self._walk is None or not self._walk.is_alive():
            self._since = monotonic()
            self._walk = Thread(target=self._measure, name=f"storage-{self.folder}", daemon=True)
            self._walk.start()

    def await_first(self, *, until: float) -> None:
        """Where nothing is known yet, wait for the first walk, to ``until`` (monotonic seconds) at most."""
        if self._size is None and self._walk is not None:
            self._walk.join(max(0.0, until - monotonic()))

    def health(self) -> Health:
        """Whether the folder is measured, and what to do when it is not."""
        name = f"storage of {self.folder}"
        if self._hangs():
            detail = "measuring does not end; until it does, nothing is metered"
            return Health(name=name, healthy=False, detail=detail, fix="see whether its disk or network share answers")
        if self._trouble:
            return Health(name=name, healthy=False, detail=self._trouble, fix=_fix(self.folder))
        return Health(name=name, healthy=True, detail=_words(self._size))

    def _measure(self) -> None:
        try:
            size = measure(self.folder)
        except OSError as error:
            self._size = None
            self._note(f"it is not metered: {error.filename}: {error.strerror}")
        else:
            self._note(f"metered without {size.unread}" if size.unread else "")
            self._size = size  # last: whoever waits for it looks at the rest too

    def _hangs(self) -> bool:
        walking = self._walk is not None and self._walk.is_alive()
        return walking and monotonic() - self._since > _LONG.total_seconds()

    def _note(self, trouble: str) -> None:
        """Edges are logged, not levels."""
        if trouble and trouble != self._trouble:
            _log.warning("storage of %s: %s; to do: %s", self.folder, trouble, _fix(self.folder))
        self._trouble = trouble


def _fix(folder: str) -> str:
    return (
        f"mount or create it, and let the agent's user read it (setfacl -R -m u:tapi-agent:rX {folder}); "
        "or take it out of STORAGE_METER_PATHS and restart the agent"
    )


def _words(size: Size | None) -> str:
    return "not measured yet" if size is None else f"{size.allocated} bytes"
