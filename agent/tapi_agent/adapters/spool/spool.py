"""``SqliteSpool``: the spool for the event loop, with one writing thread that commits in groups.

The thread commits whatever is queued, up to 500 events, as soon as it is idle: it never waits for company, since the
next group gathers by itself while this one is being written. Owned by bootstrap; used by metering and delivery.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import EDQUOT, ENOSPC
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from tapi_agent.adapters.spool.home import Box
from tapi_agent.adapters.spool.place import ClosedError, SpoolPlace
from tapi_agent.adapters.spool.rows import DamagedError, is_damage
from tapi_agent.domain.errors import NoSpaceError, UnavailableError
from tapi_agent.domain.ids import EPOCH, DeviceId, trusted_ms
from tapi_agent.domain.tally import tally_events
from tapi_agent.failpoints import Failpoint, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tapi_agent.adapters.spool.file import SpoolFile
    from tapi_agent.domain.ids import StreamId
    from tapi_agent.domain.usage import SpooledEvent, UsageEvent, UsageTotal
    from tapi_agent.ports.spool import SpoolAccount

log = structlog.get_logger(__name__)

_GROUP: Final = 500
_MOST_WAITING: Final = 20_000
_NO_ROOM: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
"""Only a full disk is named so by SQLite: a quota that is used up, or no room for the file's memory, is not."""

_NOBODYS: Final = Box(device_id=DeviceId(""))

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Append:
    """One caller of ``append``."""

    events: Sequence[UsageEvent]
    done: asyncio.Future[Sequence[int]]


class SqliteSpool:
    """``ports.spool.Spool`` in the file ``path``; ``floor`` is the oldest instant of which a new file keeps events.

    A file that cannot be opened is no reason not to start: until it can, calls raise ``UnavailableError`` and try anew.
    """

    def __init__(self, path: Path, *, floor: datetime, box: Box = _NOBODYS) -> None:
        self._place = SpoolPlace(path, floor=floor, box=box)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spool-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-reader")
        self._queue: deque[_Append] = deque()
        self._commit_is_due = False
        self._raised = EPOCH
        self._filled = asyncio.Event()
        self._listeners: list[Callable[[Sequence[UsageEvent]], None]] = []

    @property
    def stream(self) -> StreamId | None:
        """The stream its events are in; ``None`` while the file cannot be opened."""
        return self._place.file.stream if self._place.file else None

    @property
    def drained_seq(self) -> int:
        """Every seq up to here has been discarded."""
        return self._place.file.drained_seq if self._place.file else 0

    @property
    def depth(self) -> int:
        """How many events wait."""
        file = self._place.file
        return file.last_seq - file.drained_seq if file else 0

    @property
    def newest(self) -> datetime | None:
        """The latest trusted time in an id that ever came by."""
        file = self._place.file
        return EPOCH + timedelta(milliseconds=file.newest_ms) if file and file.newest_ms else None

    @property
    def dedupe_floor(self) -> datetime:
        """The oldest instant of which events are kept."""
        return max(self._place.floor, self._raised)

    async def open(self) -> None:
        """Take the spool; raises ``ConfigurationError`` when another agent has it."""
        try:
            await self._write(_nothing)
        except UnavailableError as error:
            log.warning("spool.unavailable", error=str(error), fix=error.fix)

    async def close(self) -> None:
        """Let go of the file, after what is queued has been committed."""
        while self._queue:
            await self._write(_nothing)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._place.release)
        self._writer.shutdown()
        self._reader.shutdown()

    async def raise_floor(self, floor: datetime) -> int:
        """Keep no event from before ``floor``; returns the seq after which none was accepted under an older one."""
        self._raised = floor  # at once: what is queued from here on was judged by it
        await self._write(lambda file: file.raise_floor(floor))
        await self.append(())  # behind everything that was queued before
        return self._place.file.last_seq if self._place.file else 0

    async def append(self, events: Sequence[UsageEvent]) -> Sequence[int]:
        """Keep the events; returns their seqs once they are on disk."""
        if len(self._queue) >= _MOST_WAITING:
            raise UnavailableError("the spool is slower than what is recorded", fix="check the disk; try again")
        loop = asyncio.get_running_loop()
        append = _Append(events=events, done=loop.create_future())
        self._queue.append(append)
        if not self._commit_is_due:
            self._commit_is_due = True
            loop.call_soon(self._writer.submit, self._commit, loop)  # after all whose turn it is have come
        return await append.done

    def on_kept(self, listener: Callable[[Sequence[UsageEvent]], None]) -> None:
        """Tell ``listener`` of all events from now on, in the event loop, as soon as they are on disk."""
        self._listeners.append(listener)

    def on_damage(self, listener: Callable[[Sequence[UsageTotal]], None]) -> None:
        """Tell ``listener``, in the writing thread, of acknowledged events that a damaged file has not given back."""
        self._place.on_damage = listener

    async def head(self, limit: int, *, after: int = 0) -> Sequence[SpooledEvent]:
        """The oldest events behind seq ``after``."""
        return await self._read(lambda file: file.head(limit, after=after))

    async def discard(self, through: int, *, stream: StreamId, totals: Sequence[UsageTotal] = ()) -> None:
        """Forget every event of ``stream`` up to and including ``through``."""
        await self._write(lambda file: file.discard(through, stream=stream, totals=totals))

    async def totals(self, *, after: int) -> Sequence[UsageTotal]:
        """What waits behind seq ``after``, by tenant, meter and day."""
        return await self._read(lambda file: file.waiting(after))

    async def account(self) -> SpoolAccount:
        """What was accepted in the stream, and what of it the database has been handed, at one instant."""
        return await self._read(lambda file: file.account())

    async def renew(self, stream: StreamId) -> None:
        """Begin a new stream in the place of ``stream``, whose seqs mean other events in the database."""
        await self._write(lambda file: file.renew() if file.stream == stream else None)

    async def filled(self) -> None:
        """Return as soon as something waits."""
        await self._filled.wait()

    def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the writing thread: commit one group and answer its callers."""
        self._commit_is_due = False  # before the queue is looked at: whoever comes later asks for another commit
        group = self._next_group()
        if not group:  # one that came just before the look was taken along by the commit before
            return
        try:
            outcome: int | Exception = self._place.write(partial(_append, group=group))
        except Exception as error:  # noqa: BLE001 - whatever it was, the callers wait for an answer
            outcome = error
            log.warning("spool.not_written", error=str(error), callers=len(group))
        loop.call_soon_threadsafe(self._answer, group, outcome)
        if self._queue:
            self._writer.submit(self._commit, loop)

    def _next_group(self) -> list[_Append]:
        group: list[_Append] = []
        size = 0
        while self._queue and size < _GROUP:
            group.append(self._queue.popleft())
            size += len(group[-1].events)
        return group

    def _answer(self, group: Sequence[_Append], outcome: int | Exception) -> None:
        """In the event loop: tell each caller its seqs, or what went wrong."""
        for append in group:
            if isinstance(outcome, Exception):
                _tell(append.done, _unavailable(outcome))
            else:
                seqs = range(outcome, outcome + len(append.events))
                outcome = seqs.stop
                _tell(append.done, seqs)
        self._look()
        if not isinstance(outcome, Exception):
            self._announce(group)

    def _announce(self, group: Sequence[_Append]) -> None:
        """Callers have been told, but go on only after this turn of the loop: listeners come first."""
        if events := [event for append in group for event in append.events]:
            for listener in self._listeners:
                _hand_over(events, listener)

    async def _write(self, work: Callable[[SpoolFile], T]) -> T:
        try:
            return await self._in_thread(self._writer, partial(self._place.write, work))
        finally:
            self._look()

    async def _read(self, work: Callable[[SpoolFile], T]) -> T:
        """In the reading thread; in the writing one if the file must be opened, or mended, before that."""
        file = self._place.file
        try:
            return await self._in_thread(self._reader, partial(self._place.read, work))
        except ClosedError:
            pass
        except UnavailableError as error:
            if error.__cause__ is None or not is_damage(error.__cause__):
                raise
            await self._in_thread(self._writer, partial(self._place.mend, file, error.__cause__))
        return await self._write(work)

    async def _in_thread(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except (sqlite3.Error, OSError, DamagedError) as error:
            raise _unavailable(error) from error

    def _look(self) -> None:
        if self.depth:
            self._filled.set()
        else:
            self._filled.clear()


def _append(file: SpoolFile, group: Sequence[_Append]) -> int:
    """Write a group; returns its first seq."""
    events = [event for append in group for event in append.events]
    reach(Failpoint.SPOOL_APPEND_BEGUN)
    file.append(
        [event.canonical for event in events],
        totals=tally_events(events),
        newest_ms=max((trusted_ms(event.event_id) for event in events), default=0),
    )
    reach(Failpoint.SPOOL_APPEND_COMMITTED)
    return file.last_seq - len(events) + 1


def _hand_over(events: Sequence[UsageEvent], listener: Callable[[Sequence[UsageEvent]], None]) -> None:
    try:
        listener(events)
    except Exception:
        log.exception("spool.listener_failed")  # the others must hear of the events all the same


def _tell(caller: asyncio.Future[Sequence[int]], answer: Sequence[int] | Exception) -> None:
    if caller.cancelled():
        return
    if isinstance(answer, Exception):
        caller.set_exception(answer)
    else:
        caller.set_result(answer)


def _unavailable(cause: Exception) -> UnavailableError:
    if _is_full(cause):
        error: UnavailableError = NoSpaceError(f"the spool cannot be written: {cause}")
        error.__cause__ = cause
        return error
    error = UnavailableError(
        f"the spool gives no answer: {cause}",
        fix="free space on the disk of the state directory, and check that the agent may write there",
    )
    error.__cause__ = cause
    return error


def _is_full(cause: Exception) -> bool:
    """Whether the disk, or this user's part of it, has no room."""
    if isinstance(cause, OSError):
        return cause.errno in (ENOSPC, EDQUOT)
    return getattr(cause, "sqlite_errorcode", 0) in _NO_ROOM


def _nothing(_: SpoolFile) -> None:
    """Opening is all."""
