"""The mark of trusted time, sealed: whoever turns it back by hand is noticed. Implements ``ports.clock.MarkStore``."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.trusted_time import Mark

if TYPE_CHECKING:
    from pathlib import Path

_MICROSECOND: Final = timedelta(microseconds=1)
_PURPOSE: Final = "mark/1"


class Seal(Protocol):
    """What a key of this device can do (``adapters.signing.DeviceKey``)."""

    def seal(self, payload: str, *, purpose: str) -> str:
        """The payload with its keyed digest."""

    def unseal(self, sealed: str, *, purpose: str) -> str:
        """The payload; raises ``IntegrityError``."""


class FileMark:
    """The mark in a file of its own."""

    def __init__(self, path: Path, *, key: Seal) -> None:
        self._file = DurableFile(path)
        self._key = key

    async def load(self) -> Mark | None:
        """The mark; ``None`` when there is no file. A damaged file is set aside: ``IntegrityError``."""
        content = await self._file.read()
        try:
            return None if content is None else _parse(self._key.unseal(content.decode(), purpose=_PURPOSE))
        except (IntegrityError, UnicodeDecodeError) as error:
            self._file.set_aside(str(error))
            raise IntegrityError(f"the mark of trusted time fails verification: {error}") from error

    async def save(self, mark: Mark) -> None:
        """Return when it is on disk."""
        await self._file.write(lambda: self._key.seal(_format(mark), purpose=_PURPOSE).encode())


def _format(mark: Mark) -> str:
    fields = {
        "at": mark.at.isoformat(),
        "boot_id": mark.boot_id,
        "boottime_us": mark.boottime // _MICROSECOND,
        "raised_us": mark.raised // _MICROSECOND,
        "confirmed_in": mark.confirmed_in,
        "settled_in": mark.settled_in,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def _parse(payload: str) -> Mark:
    fields = json.loads(payload)
    return Mark(
        at=datetime.fromisoformat(fields["at"]),
        boot_id=fields["boot_id"],
        boottime=fields["boottime_us"] * _MICROSECOND,
        raised=fields["raised_us"] * _MICROSECOND,
        confirmed_in=fields["confirmed_in"],
        settled_in=fields["settled_in"],
    )
