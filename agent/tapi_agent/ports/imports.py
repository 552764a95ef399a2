"""The two ends of an import: a folder of old SQLite files, and the database that takes them over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import timedelta

    from tapi_agent.domain.importing.flaws import Flaw
    from tapi_agent.domain.importing.quarantine import SetAside
    from tapi_agent.domain.importing.tables import OldTable, Row
    from tapi_agent.domain.importing.tally import Tally


class Unfit(Exception):  # noqa: N818 - an outcome, and no error of the agent's: the service catches it
    """The file as a whole cannot be taken over, and why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.detail)
        self.flaw = flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class OldFile:
    """A file of the folder: its name in it, its bytes, and the old tables it should hold, none for a stranger."""

    name: str
    size: int
    tables: Sequence[OldTable]


class OldDatabase(Protocol):
    """One old file, open for reading; its bytes are never changed. Reading raises ``Unfit`` where it is damaged."""

    @property
    def tables(self) -> Mapping[str, Sequence[str]]:
        """Names of its tables, each with those of its columns."""
        ...

    def rows(self, table: OldTable) -> Iterator[Row | SetAside]:
        """All rows of a table, by number; what is too large to be read is set aside."""
        ...


class OldFolder(Protocol):
    """Where the old files are. Every call may raise ``OSError``."""

    def files(self) -> Sequence[OldFile]:
        """What is there, in the order to be imported."""
        ...

    def fingerprint(self, file: OldFile) -> bytes:
        """SHA-256 over the file's bytes, and those of the journal beside it."""
        ...

    def open(self, file: OldFile) -> AbstractContextManager[OldDatabase]:
        """The file, found sound; raises ``Unfit`` when it is not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of rows handed over: ``imported`` new ones; by number those in ``conflict`` and those ``refused``.

    ``tally`` is what the others add up to, as they are stored now.
    """

    imported: int
    conflicts: Sequence[int]
    refused: Mapping[int, str]
    tally: Tally


class Intake(Protocol):
    """One old file on its way into the database: one transaction."""

    async def put(self, table: OldTable, rows: Sequence[Row], staged: Callable[[], None]) -> Stored:
        """Store rows, but for those whose key has another content already.

        ``staged`` is called, at least once, when the database has got them and only its answer is waited for.
        """
        ...

    async def set_aside(self, rows: Sequence[SetAside]) -> None:
        """Put rows into quarantine, each once, however often it is imported."""
        ...

    async def record(self, *, sha256: bytes, size: int, tables: Mapping[str, object], duration: timedelta) -> None:
        """Note that the file is in."""
        ...


class ImportStore(Protocol):
    """The database, for one tenant and device. Every call raises ``UnavailableError`` when it gives no answer."""

    async def is_known(self, name: str, sha256: bytes) -> bool:
        """Whether these bytes under this name were imported before."""
        ...

    async def cameras_of_others(self) -> frozenset[str]:
        """The tenant's cameras that another device serves."""
        ...

    async def held(self, name: str) -> int:
        """How much of a file is in quarantine."""
        ...

    def intake(self, name: str) -> AbstractAsyncContextManager[Intake]:
        """A transaction for a file: committed when the block ends, rolled back when it raises."""
        ...
