"""The place of the spool on disk: locked for one agent, opened when it can be, mended when its file is damaged.

Blocking; ``spool`` calls ``write`` and ``mend`` from its writing thread and ``read`` from its reading one.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING, TypeVar

import structlog

from tapi_agent.adapters.spool.file import SpoolFile
from tapi_agent.adapters.spool.rescue import finish, rescue
from tapi_agent.adapters.spool.rows import is_damage
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from tapi_agent.adapters.spool.home import Box
    from tapi_agent.domain.usage import UsageTotal

log = structlog.get_logger(__name__)

T = TypeVar("T")


class ClosedError(Exception):
    """The file is not open at this moment."""


class SpoolPlace:
    """The spool file of ``box`` at ``path``; ``floor`` is the oldest instant of which a new file keeps events."""

    def __init__(self, path: Path, *, floor: datetime, box: Box) -> None:
        self.path = path
        self.floor = floor
        self._box = box
        self.on_damage: Callable[[Sequence[UsageTotal]], None] = _nothing
        self.file: SpoolFile | None = None
        self._lock: int | None = None
        self._in_use = threading.Lock()  # by the reader, so that nobody closes a connection it is reading from

    def take(self) -> None:
        """Make the directory and lock the place; ``ConfigurationError`` when another agent has it.

        The lock has a file of its own: closing any handle of a file drops SQLite's own locks on it.
        """
        if self._lock is not None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigurationError(
                f"another agent uses the spool {self.path.name}",
                fix="stop it, or give this one its own state directory",
            ) from error
        self._lock = lock

    def write(self, work: Callable[[SpoolFile], T]) -> T:
        """Do ``work`` on the file, opening it first if need be, and once more on a mended one if it is damaged."""
        try:
            return work(self._opened())
        except Exception as error:
            if not is_damage(error):
                raise
            self.mend(self.file, error)
        return work(self._opened())

    def read(self, work: Callable[[SpoolFile], T]) -> T:
        """Do ``work`` on the file; damage is left to whoever calls ``mend``, a closed file to ``write``."""
        with self._in_use:
            if self.file is None:
                raise ClosedError
            return work(self.file)

    def mend(self, damaged: SpoolFile | None, error: BaseException) -> None:
        """Move the damaged file aside, unless that has been done meanwhile, and what is readable to a new one."""
        if damaged is not self.file:
            return
        self._close_file()
        rescued = rescue(self.path, floor=self.floor, box=self._box, tell=self.on_damage)
        lost = sum(total.events + total.local_events for total in rescued.lost)
        log.error("spool.set_aside", error=str(error), evidence=rescued.evidence.name, saved=rescued.saved, lost=lost)

    def release(self) -> None:
        """Close the file and give the place free."""
        self._close_file()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> SpoolFile:
        if self.file is None:
            self.take()
            finish(self.path)
            self.file = SpoolFile(self.path, floor=self.floor, box=self._box)
        self.floor = self.file.dedupe_floor
        return self.file

    def _close_file(self) -> None:
        with self._in_use:
            file, self.file = self.file, None
            if file is not None:
                file.close()


def _nothing(_: Sequence[UsageTotal]) -> None:
    """Nobody wants to hear of it."""
