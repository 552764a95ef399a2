"""The loss ledger: a file that has its space from the start and is overwritten in place, so that it takes a full disk.

Two slots, written alternately, each with a number and a checksum: a write that is cut short leaves the other one. What
does not fit any more, because there are too many meters, is counted under no meter's name.
"""

from __future__ import annotations

import json
import os
import struct
import threading
import zlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import structlog

from tapi_agent.adapters.files.durable import sync_folder
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.loss import Loss, LossKind, add_up_losses
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

log = structlog.get_logger(__name__)

_SLOT: Final = 32 * 1024
_HEAD: Final = struct.Struct(">4sQII")
"""Magic, number of the write, length and checksum of what follows."""
_MAGIC: Final = b"tLOS"


class FileLosses:
    """``ports.losses.LossLedger`` in the file ``path``; safe to call from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._number = 0
        self._losses: list[Loss] | None = None

    def note(self, losses: Sequence[Loss]) -> None:
        """Add to the sums, durable on return."""
        with self._lock, self._opened() as file:
            sums = _fitting(add_up_losses([*self._read(file), *losses]))
            slot = _framed(self._number + 1, _payload(sums))
            os.pwrite(file, slot, (self._number + 1) % 2 * _SLOT)
            reach(Failpoint.LOSS_WRITTEN)
            os.fdatasync(file)
            reach(Failpoint.LOSS_SYNCED)
            self._number += 1
            self._losses = sums

    def report(self) -> Sequence[Loss]:
        """The sums, in order of kind and meter."""
        with self._lock, self._opened() as file:
            return self._read(file)

    def _read(self, file: int) -> list[Loss]:
        """The newer of the two slots that can be read; once for this process, which alone writes it."""
        if self._losses is None:
            found = [slot for at in (0, _SLOT) if (slot := _unframed(os.pread(file, _SLOT, at)))]
            self._number, self._losses = max(found, key=lambda slot: slot[0], default=(0, []))
        return self._losses

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            if self._losses is None or not self._path.is_file():
                self._prepare()
            file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _unavailable(error) from error
        try:
            yield file
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            os.close(file)

    def _prepare(self) -> None:
        """Make the file with all its space, or set aside one of which no slot can be read, as evidence."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists():
            content = self._path.read_bytes()
            if len(content) == 2 * _SLOT and any(_unframed(content[at : at + _SLOT]) for at in (0, _SLOT)):
                return
            evidence = self._path.with_name(f"{self._path.name}.damaged")
            self._path.rename(evidence)
            log.error("losses.set_aside", evidence=evidence.name)
        fresh = self._path.with_name(f"{self._path.name}.fresh")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(file, _framed(0, b"[]").ljust(2 * _SLOT, b"\0"), 0)  # written, not only reserved
            os.fsync(file)
        finally:
            os.close(file)
        fresh.rename(self._path)
        sync_folder(self._path.parent)


def _fitting(losses: list[Loss]) -> list[Loss]:
    """The last meters give up their names until a slot holds the rest."""
    while len(_payload(losses)) > _SLOT - _HEAD.size:
        last = max(losses, key=lambda loss: loss.meter)
        losses = add_up_losses([*(loss for loss in losses if loss is not last), replace(last, meter="")])
    return losses


def _payload(losses: list[Loss]) -> bytes:
    return json.dumps([_row(loss) for loss in losses]).encode()


def _framed(number: int, payload: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, number, len(payload), _checksum(number, payload)) + payload


def _unframed(slot: bytes) -> tuple[int, list[Loss]] | None:
    if len(slot) < _HEAD.size:
        return None
    magic, number, length, checksum = _HEAD.unpack_from(slot)
    payload = slot[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or len(payload) != length or checksum != _checksum(number, payload):
        return None
    return number, [_loss(row) for row in json.loads(payload)]


def _checksum(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(number.to_bytes(8)))


def _row(loss: Loss) -> list[Any]:
    times = loss.first_at.isoformat(), loss.last_at.isoformat()
    return [loss.kind, loss.meter, loss.events, str(loss.quantity), *times]


def _loss(row: list[Any]) -> Loss:
    kind, meter, events, quantity, first_at, last_at = row
    return Loss(
        kind=LossKind(kind),
        meter=meter,
        events=events,
        quantity=Decimal(quantity),
        first_at=datetime.fromisoformat(first_at),
        last_at=datetime.fromisoformat(last_at),
    )


def _unavailable(error: OSError) -> UnavailableError:
    return UnavailableError(f"the loss ledger gives no answer: {error}", fix="check the disk of the state directory")
