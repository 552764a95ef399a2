"""The disk of the state directory, and the ballast: a file that only takes up space, so that there is some to give up.

SQLite can neither delete nor checkpoint on a full disk: without a reserve nothing could be drained from there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from pathlib import Path


class StateDisk:
    """``ports.space.Disk`` for the disk of ``ballast``, a file of ``size`` bytes in a folder that exists by then."""

    def __init__(self, ballast: Path, *, size: int) -> None:
        self._ballast = ballast
        self._size = size

    @property
    def holds_ballast(self) -> bool:
        """Whether the file is there in full; of no size it always is."""
        try:
            return self._ballast.stat().st_size >= self._size
        except FileNotFoundError:
            return self._size == 0

    def free(self) -> int:
        """Bytes that users other than root may still write."""
        found = os.statvfs(self._ballast.parent)
        return found.f_bavail * found.f_frsize

    def hold_ballast(self) -> None:
        """Really allocated: a file with holes reserves nothing."""
        file = os.open(self._ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, self._size)
            reach(Failpoint.BALLAST_HELD)
        except OSError:
            self.drop_ballast()
            raise
        finally:
            os.close(file)

    def drop_ballast(self) -> None:
        """Truncated first: on some file systems a name needs space to go."""
        with suppress(FileNotFoundError):
            os.truncate(self._ballast, 0)
            reach(Failpoint.BALLAST_DROPPED)
            self._ballast.unlink()
