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
from typing import Final

VARIABLE: Final = "TAPI_FAILPOINTS"
_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoint(StrEnum):
    """Where: the part, the step, and how far it has come."""

    SPOOL_APPEND_BEGUN = "spool.append.begun"
    SPOOL_APPEND_WRITTEN = "spool.append.written"
    SPOOL_APPEND_COMMITTED = "spool.append.committed"
    SPOOL_DISCARD_BEGUN = "spool.discard.begun"
    SPOOL_DISCARD_WRITTEN = "spool.discard.written"
    SPOOL_DISCARD_COMMITTED = "spool.discard.committed"
    SPOOL_UPGRADE_WRITTEN = "spool.upgrade.written"
    SPOOL_UPGRADE_COMMITTED = "spool.upgrade.committed"
    SPOOL_COPY_WRITTEN = "spool.copy.written"
    SPOOL_COPY_COMMITTED = "spool.copy.committed"
    SPOOL_RENEW_WRITTEN = "spool.renew.written"
    SPOOL_RENEW_COMMITTED = "spool.renew.committed"
    SPOOL_RESCUE_SAVED = "spool.rescue.saved"
    SPOOL_RESCUE_TOLD = "spool.rescue.told"
    SPOOL_RESCUE_SET_ASIDE = "spool.rescue.set_aside"
    SPOOL_RESCUE_DONE = "spool.rescue.done"
    LOSS_WRITTEN = "loss.written"
    LOSS_SYNCED = "loss.synced"
    BALLAST_HELD = "ballast.held"
    BALLAST_DROPPED = "ballast.dropped"
    LEDGER_KEEP_WRITTEN = "ledger.keep.written"
    LEDGER_KEEP_COMMITTED = "ledger.keep.committed"
    LEDGER_BURY_WRITTEN = "ledger.bury.written"
    LEDGER_BURY_COMMITTED = "ledger.bury.committed"
    LEDGER_LOSS_WRITTEN = "ledger.loss.written"
    LEDGER_LOSS_COMMITTED = "ledger.loss.committed"
    BATCH_SEAL_WRITTEN = "batch.seal.written"
    BATCH_SEAL_COMMITTED = "batch.seal.committed"
    BATCH_LEASE_WRITTEN = "batch.lease.written"
    BATCH_LEASE_COMMITTED = "batch.lease.committed"
    SEND_BEGUN = "send.begun"
    SEND_ANSWERED = "send.answered"
    SERVICE_LEARNED_WRITTEN = "service.learned.written"
    SERVICE_LEARNED_COMMITTED = "service.learned.committed"
    BATCH_SETTLE_WRITTEN = "batch.settle.written"
    BATCH_SETTLE_COMMITTED = "batch.settle.committed"
    BATCH_PUT_BACK_WRITTEN = "batch.put_back.written"
    BATCH_PUT_BACK_COMMITTED = "batch.put_back.committed"
    BATCH_REPLACE_WRITTEN = "batch.replace.written"
    BATCH_REPLACE_COMMITTED = "batch.replace.committed"
    BATCH_RECLAIM_WRITTEN = "batch.reclaim.written"
    BATCH_RECLAIM_COMMITTED = "batch.reclaim.committed"
    ROOT_BURY_WRITTEN = "root.bury.written"
    ROOT_BURY_COMMITTED = "root.bury.committed"
    ROOT_RESTORE_WRITTEN = "root.restore.written"
    ROOT_RESTORE_COMMITTED = "root.restore.committed"
    DOUBT_RESEND_WRITTEN = "doubt.resend.written"
    DOUBT_RESEND_COMMITTED = "doubt.resend.committed"


@dataclass(frozen=True, slots=True)
class _Trap:
    signal: signal.Signals
    at: int
    reached: count[int]


def reach(point: Failpoint) -> None:
    """The process is at ``point``; it may not get further."""
    if _TRAPS and (trap := _TRAPS.get(point)) and next(trap.reached) == trap.at:
        os.kill(os.getpid(), trap.signal)


def arm(text: str) -> None:
    """Set traps, as TAPI_FAILPOINTS has them: for a test's process that was forked and not started.

    Raises ``ValueError`` for a place or a signal that does not exist: a test that sets none would prove nothing.
    """
    _TRAPS.update(map(_trap, filter(None, text.split(","))))


def _trap(entry: str) -> tuple[Failpoint, _Trap]:
    place, _, word = entry.partition("=")
    name, _, at = place.partition(":")
    if word not in _SIGNALS:
        raise ValueError(f"{VARIABLE}: {entry!r} is not such as spool.append.committed:3=kill")
    return Failpoint(name), _Trap(_SIGNALS[word], int(at or 1), count(1))


_TRAPS: Final[dict[Failpoint, _Trap]] = {}
arm(os.environ.get(VARIABLE, ""))
