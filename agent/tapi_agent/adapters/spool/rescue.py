"""A damaged spool file: what is readable moves to a new file, the old one stays beside it as evidence.

The new file is complete before the old one is moved away, so that a kill at any moment leaves either the damaged file
in its place, to be rescued again, or everything in the new one.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tapi_agent.adapters.spool import sums
from tapi_agent.adapters.spool.file import SpoolFile
from tapi_agent.adapters.spool.home import Home
from tapi_agent.adapters.spool.rows import SELECT, DamagedError, believed, checked
from tapi_agent.domain.tally import take_away, tally
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from tapi_agent.adapters.spool.home import Box
    from tapi_agent.domain.usage import UsageTotal

_CHUNK: Final = 500
_ORIGIN: Final = "SELECT home, stream, iif(suspect_seq > drained_seq, copied_from, NULL) FROM spool"
_COMPANIONS: Final = ("-wal", "-shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """How it went: where the damaged file is now, how many events were saved, and what is ``lost``.

    Of a file whose sums cannot be read nobody knows what is lost: then nothing is in there.
    """

    evidence: Path
    saved: int
    lost: Sequence[UsageTotal]


def rescue(path: Path, *, floor: datetime, box: Box, tell: Callable[[Sequence[UsageTotal]], None]) -> Rescue:
    """Put a new file in the place of the damaged one at ``path``, which nobody has open; ``tell`` what is lost.

    That is told before the change: a kill in between has it told twice, one after the change would hush it up.
    """
    fresh = _fresh(path)
    _remove(fresh)
    file = SpoolFile(fresh, floor=floor, box=box)
    texts, left = _survivors(path), _waiting(path)
    while chunk := list(islice(texts, _CHUNK)):
        totals = tally(chunk)
        file.append(chunk, totals=totals)
        left = take_away(left, totals)
    if original := _original(path, box):
        file.suspect(original)
    saved, lost = file.last_seq, [total for total in left if _is_known(total)]
    file.close()
    reach(Failpoint.SPOOL_RESCUE_SAVED)
    tell(lost)
    reach(Failpoint.SPOOL_RESCUE_TOLD)
    evidence = _evidence(path)
    for companion in (*_COMPANIONS, ""):
        if _beside(path, companion).exists():
            _beside(path, companion).rename(_beside(evidence, companion))
    reach(Failpoint.SPOOL_RESCUE_SET_ASIDE)
    fresh.rename(path)
    reach(Failpoint.SPOOL_RESCUE_DONE)
    return Rescue(evidence=evidence, saved=saved, lost=lost)


def finish(path: Path) -> None:
    """Complete a rescue that was killed, or take it back."""
    fresh = _fresh(path)
    if fresh.exists() and not path.exists():
        fresh.rename(path)
    _remove(fresh)


def _survivors(path: Path) -> Iterator[str]:
    """From the front up to the damage, then from the back up to it; altered rows are left behind."""
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        with suppress(sqlite3.Error), closing(_read_only(path)) as connection:
            for row in connection.execute(f"{SELECT} ORDER BY seq {order}"):
                if row[0] not in seen:
                    seen.add(row[0])
                    with suppress(DamagedError):
                        yield checked(row)


def _waiting(path: Path) -> list[UsageTotal]:
    """What should be in the file, as far as it says."""
    with suppress(sqlite3.Error, DamagedError), closing(_read_only(path)) as connection:
        return sums.waiting(connection)
    return []


def _original(path: Path, box: Box) -> bytes | None:
    """The stream of the other file that has these events, if this one was a copy or, here, is one."""
    with suppress(sqlite3.Error, DamagedError), closing(_read_only(path)) as connection, believed():
        home, *streams = connection.execute(_ORIGIN).fetchone()
        stream, copied_from = map(_bytes, streams)
        return copied_from if not home or Home(box=box, inode=path.stat().st_ino).is_that_of(home) else stream
    return None


def _bytes(stream: bytes | None) -> bytes | None:
    return UUID(bytes=stream).bytes if stream else None


def _is_known(total: UsageTotal) -> bool:
    """Less than nothing is left of a meter that the damaged sums do not name."""
    return total.events >= 0 and total.local_events >= 0


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _evidence(path: Path) -> Path:
    """The first free name: ``spool.db.damaged-1``."""
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.fresh")


def _beside(path: Path, companion: str) -> Path:
    return path.with_name(path.name + companion)


def _remove(path: Path) -> None:
    for companion in (*_COMPANIONS, ""):
        _beside(path, companion).unlink(missing_ok=True)
