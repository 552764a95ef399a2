"""One old file's way into the database, table by table, chunk by chunk, within the transaction it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.reports import TableReport
from tapi_agent.domain.importing.tables import number_of
from tapi_agent.domain.importing.tally import tally
from tapi_agent.services.importing.chunks import Ahead, chunks
from tapi_agent.services.importing.judging import as_it_was, misshapen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tapi_agent.domain.importing.quarantine import SetAside
    from tapi_agent.domain.importing.reports import FileReport
    from tapi_agent.domain.importing.tables import OldTable
    from tapi_agent.ports.imports import Intake, OldDatabase, Stored
    from tapi_agent.services.importing.chunks import Chunk


class Passage:
    """From ``database`` through ``intake``; ``report`` counts."""

    def __init__(
        self,
        database: OldDatabase,
        intake: Intake,
        report: FileReport,
        *,
        foreign: frozenset[str],
        progress: Callable[[int], None],
    ) -> None:
        self._database = database
        self._intake = intake
        self._report = report
        self._foreign = foreign
        self._progress = progress

    async def go(self, tables: Sequence[OldTable]) -> None:
        """All tables. Raises ``IntegrityError`` when what is stored is not what was read, ``Unfit`` as reading does."""
        unfit = misshapen(self._database, tables)
        await self._set_aside(list(unfit.values()))
        for table in tables:
            if table.name not in unfit:
                await self._table(table)

    async def _table(self, table: OldTable) -> None:
        counts = self._report.tables[table.name] = TableReport()
        with Ahead(chunks(self._database, table, self._foreign)) as reader:
            while chunk := await reader.next():
                counts.read += len(chunk.rows) + len(chunk.unfit)
                await self._set_aside(chunk.unfit)
                if chunk.rows:
                    await self._store(chunk, reader.start)
                self._progress(chunk.size)

    async def _store(self, chunk: Chunk, staged: Callable[[], None]) -> None:
        table, rows, expected = chunk.table, chunk.rows, chunk.tally
        stored = await self._intake.put(table, rows, staged)
        if flaws := _flaws(stored):
            await self._set_aside(
                [as_it_was(table, row, flaws[number_of(row)]) for row in rows if number_of(row) in flaws]
            )
            expected = tally(table, [row for row in rows if number_of(row) not in flaws])
        if stored.tally != expected or stored.imported > expected.rows:
            raise IntegrityError(f"{table.name}: what is stored is not what was read; nothing of the file was kept")
        self._report.tables[table.name].add(imported=stored.imported, stored=expected.rows, checksum=expected.checksum)

    async def _set_aside(self, rows: Sequence[SetAside]) -> None:
        if rows:
            await self._intake.set_aside(rows)
            self._report.set_aside(rows)


def _flaws(stored: Stored) -> Mapping[int, Flaw]:
    """What is wrong with rows that only the database could judge, by their numbers."""
    conflict = Flaw(QuarantineCode.CONFLICT, "another content is stored under its key")
    refused = {number: Flaw(QuarantineCode.REFUSED, words) for number, words in stored.refused.items()}
    return dict.fromkeys(stored.conflicts, conflict) | refused
