"""The machine's clocks. The one module that reads the wall clock; everything else takes a ``Clock``."""

from __future__ import annotations

import ctypes
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SYNCHRONIZED: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever a time server has set the clock."""
_STEP: Final = timedelta(seconds=2)
"""The wall clock and CLOCK_BOOTTIME are slewed alike; only a step moves them against each other."""


_TIMEX: Final = struct.Struct("i4x4qi164x")
"""struct timex of 64-bit Linux: modes, offset, freq, maxerror, esterror, status, and what is not asked for."""
_UNSYNCHRONIZED: Final = 0x40
_LIBC: Final = ctypes.CDLL(None)


def kernel_disciplined() -> bool:
    """Whether a time daemon keeps the kernel's clock in step (adjtimex, read only). Setting the clock by hand ends it.

    False where a sandbox forbids the call.
    """
    timex = ctypes.create_string_buffer(_TIMEX.size)
    if _LIBC.adjtimex(timex) < 0:
        return False
    return not _TIMEX.unpack(timex.raw)[-1] & _UNSYNCHRONIZED


class SystemClock:
    """Implements ``ports.clock.Clock`` on Linux."""

    def __init__(
        self,
        *,
        synchronized: Path = _SYNCHRONIZED,
        boot_id: Path = _BOOT_ID,
        disciplined: Callable[[], bool] = kernel_disciplined,
    ) -> None:
        self._sync_file = synchronized
        self._disciplined = disciplined
        self._boot_id_file = boot_id
        self._boot_id = ""
        self._seen = timedelta(0)
        self._touched = 0
        self._anchor: timedelta | None = None

    def wall(self) -> datetime:
        """The wall clock, UTC, right or wrong."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC in seconds: stops while suspended."""
        return time.monotonic()

    def boottime(self) -> timedelta:
        """CLOCK_BOOTTIME: time since boot, suspend included."""
        return timedelta(microseconds=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)

    def boot_id(self) -> str:
        """The kernel's id of this boot."""
        if not self._boot_id:
            self._boot_id = self._boot_id_file.read_text(encoding="ascii").strip()
        return self._boot_id

    def synchronized(self) -> bool:
        """Whether the wall clock is as a time server has set it in this boot: chrony and ntpd tell the kernel so.

        timesyncd touches a file. The file alone would vouch for a clock that someone has set by hand since: it says
        that the offset to CLOCK_BOOTTIME was right when it was touched, so that offset must still be the same.
        """
        return self._disciplined() or self._touched_and_unmoved()

    def _touched_and_unmoved(self) -> bool:
        try:
            touched = self._sync_file.stat().st_mtime_ns
        except OSError:
            return False
        if touched != self._touched:
            self._confirm(touched)
        return self._anchor is not None and abs(self._offset() - self._anchor) <= _STEP

    def _confirm(self, touched: int) -> None:
        """Take the present offset as right, unless the clock was stepped between the touch and this look."""
        age = timedelta(seconds=self.wall().timestamp() - touched / 1e9)
        if -_STEP <= age <= self.boottime() - self._seen + _STEP:
            self._anchor = self._offset()
        self._touched, self._seen = touched, self.boottime()

    def _offset(self) -> timedelta:
        return timedelta(seconds=self.wall().timestamp()) - self.boottime()
