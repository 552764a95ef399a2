"""Named places at which a test may kill or stop the process: between a write and its commit, a reply and its settling.

Does nothing unless TAPI_FAILPOINTS is set when the process starts: ``spool.append.committed:3=kill`` kills it the third
time that place is reached, ``=stop`` stops it as SIGSTOP does; several are separated by commas. The bottom layer:
whoever writes something durable calls ``reach`` before and after. Each place is named once, in ``Failpoint``.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "TAPI_FAILPOINTS"
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoint(StrEnum):
    """Where: the part, the step, and how far it has come."""

    SPOOL_APPEND_BEGUN = "spool.append.begun"
    SPOOL_APPEND_WRITTEN = "spool.append.written"
    SPOOL_APPEND_COMMITTED = "spool.append.committed"


@dataclass(frozen=True, slots=True)
class _Trap:
    signal: signal.Signals
    at: int
    reached: count[int]


def reach(point: Failpoint) -> None:
    """The process is at ``point``; it may not get further."""
    if _TRAPS and (trap := _TRAPS.get(point)) and next(trap.reached) == trap.at:
        os.kill(os.getpid(), trap.signal)


def _traps(text: str) -> Mapping[Failpoint, _Trap]:
    """Raises ``ValueError`` for a place or a signal that does not exist: a test that sets none would prove nothing."""
    return dict(_trap(entry) for entry in text.split(",") if entry)


def _trap(entry: str) -> tuple[Failpoint, _Trap]:
    place, _, word = entry.partition("=")
    name, _, at = place.partition(":")
    if word not in _SIGNALS:
        raise ValueError(f"{VARIABLE}: {entry!r} is not such as spool.append.committed:3=kill")
    return Failpoint(name), _Trap(_SIGNALS[word], int(at or 1), count(1))


_TRAPS: Final = _traps(os.environ.get(VARIABLE, ""))
