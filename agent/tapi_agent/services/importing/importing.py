"""Imports a folder: each file in one transaction, compared on both sides before it counts, never twice.

Killed at any point and run again, it goes on with the file it was at: what was not committed was not written.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.importing.quarantine import SetAside, content
from tapi_agent.domain.importing.reports import FileReport, Outcome
from tapi_agent.ports.imports import Unfit
from tapi_agent.services.importing.passage import Passage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tapi_agent.domain.importing.flaws import Flaw
    from tapi_agent.ports.clock import Clock
    from tapi_agent.ports.imports import ImportStore, OldFile, OldFolder


class Importing:
    """Takes over the files of ``folder``, one at a time."""

    def __init__(self, *, folder: OldFolder, store: ImportStore, clock: Clock) -> None:
        self._folder = folder
        self._store = store
        self._clock = clock

    def files(self) -> Sequence[OldFile]:
        """What there is to take over, in order; strangers too."""
        return self._folder.files()

    async def take_over(self, file: OldFile, progress: Callable[[int], None] = lambda _: None) -> FileReport:
        """Import one file. Raises ``UnavailableError`` when the database goes away; the file can be tried again.

        ``progress`` hears about how many bytes were read since it heard last.
        """
        if not file.tables:
            return FileReport(name=file.name, size=file.size, outcome=Outcome.UNKNOWN)
        try:
            report = await self._unless_known(file, progress)
        except (OSError, IntegrityError) as error:
            report = FileReport(name=file.name, size=file.size, outcome=Outcome.FAILED, detail=str(error))
        report.held = await self._store.held(file.name)
        return report

    async def _unless_known(self, file: OldFile, progress: Callable[[int], None]) -> FileReport:
        sha256 = self._folder.fingerprint(file)
        if await self._store.is_known(file.name, sha256):
            return FileReport(name=file.name, size=file.size, outcome=Outcome.KNOWN)
        try:
            return await self._import(file, sha256, progress)
        except Unfit as unfit:
            return await self._set_aside(file, sha256, unfit.flaw)

    async def _import(self, file: OldFile, sha256: bytes, progress: Callable[[int], None]) -> FileReport:
        began = self._clock.monotonic()
        report = FileReport(name=file.name, size=file.size, outcome=Outcome.IMPORTED)
        foreign = await self._store.cameras_of_others()
        with self._folder.open(file) as database:
            async with self._store.intake(file.name) as intake:
                await Passage(database, intake, report, foreign=foreign, progress=progress).go(file.tables)
                if self._folder.fingerprint(file) != sha256:
                    raise IntegrityError("it changed while it was read: stop the old application, then run again")
                duration = timedelta(seconds=self._clock.monotonic() - began)
                await intake.record(sha256=sha256, size=file.size, tables=report.figures(), duration=duration)
        return report

    async def _set_aside(self, file: OldFile, sha256: bytes, flaw: Flaw) -> FileReport:
        """The file as a whole; it is not recorded as imported, so that it is tried again."""
        report = FileReport(name=file.name, size=file.size, outcome=Outcome.QUARANTINED, detail=flaw.detail)
        facts = content([("sha256", sha256.hex()), ("bytes", file.size)])
        unfit = [SetAside(flaw=flaw, content=facts)]
        async with self._store.intake(file.name) as intake:
            await intake.set_aside(unfit)
        report.set_aside(unfit)
        return report
