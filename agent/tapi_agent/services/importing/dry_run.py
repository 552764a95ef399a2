"""A store that takes everything and keeps nothing: what an import would do, as far as the old files alone can tell."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tapi_agent.domain.importing.tally import tally
from tapi_agent.ports.imports import Stored

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import timedelta

    from tapi_agent.domain.importing.quarantine import SetAside
    from tapi_agent.domain.importing.tables import OldTable, Row


class DryRun:
    """Implements ``ports.imports.ImportStore``."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    async def is_known(self, name: str, sha256: bytes) -> bool:  # noqa: ARG002 - the port's
        """Nothing is."""
        return False

    async def cameras_of_others(self) -> frozenset[str]:
        """Nobody else is there."""
        return frozenset()

    async def held(self, name: str) -> int:
        """How much of the file would be in quarantine."""
        return self._held[name]

    @asynccontextmanager
    async def intake(self, name: str) -> AsyncIterator[DryIntake]:
        """Counts what is set aside."""
        intake = DryIntake()
        yield intake
        self._held[name] += intake.held


class DryIntake:
    """Implements ``ports.imports.Intake``."""

    def __init__(self) -> None:
        self.held = 0

    async def put(self, table: OldTable, rows: Sequence[Row], staged: Callable[[], None]) -> Stored:
        """All rows are new."""
        staged()
        return Stored(imported=len(rows), conflicts=(), refused={}, tally=tally(table, rows))

    async def set_aside(self, rows: Sequence[SetAside]) -> None:
        """Count them."""
        self.held += len(rows)

    async def record(self, *, sha256: bytes, size: int, tables: Mapping[str, object], duration: timedelta) -> None:
        """Keep no record."""
