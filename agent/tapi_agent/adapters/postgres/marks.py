"""The mark of trusted time in PostgreSQL, sealed as in the file: survives a lost state directory.

Implements ``ports.clock.MarkStore``. A mark that another device's key has sealed is ``IntegrityError``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.queries import load_queries
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.mark_form import PURPOSE, format_mark, parse_mark

if TYPE_CHECKING:
    from tapi_agent.adapters.postgres.pool import Database
    from tapi_agent.domain.ids import DeviceId
    from tapi_agent.domain.trusted_time import Mark
    from tapi_agent.ports.seal import Seal

_SQL: Final = load_queries("marks")
_PATIENCE: Final = timedelta(seconds=2)
"""A stopping agent waits for this; the file has the mark as well."""


class PostgresMark:
    """The mark in the device's row of ``trusted_time``."""

    def __init__(self, *, database: Database, device_id: DeviceId, key: Seal) -> None:
        self.name = "postgres"
        self._database = database
        self._device_id = device_id
        self._key = key

    async def load(self) -> Mark | None:
        """The mark; ``None`` when there is no row."""
        async with self._database.connection(statement_timeout=_PATIENCE) as connection:
            row = await (await connection.execute(_SQL.load, {"device_id": self._device_id})).fetchone()
        try:
            return None if row is None else parse_mark(self._key.unseal(row["mark"], purpose=PURPOSE))
        except IntegrityError as error:
            raise IntegrityError(f"the mark of trusted time fails verification: {error}", fix=error.fix) from error

    async def save(self, mark: Mark) -> None:
        """Return when it is committed."""
        sealed = self._key.seal(format_mark(mark), purpose=PURPOSE)
        row = {"device_id": self._device_id, "mark": sealed, "at": mark.at}
        async with self._database.connection(statement_timeout=_PATIENCE) as connection:
            await connection.execute(_SQL.save, row)
