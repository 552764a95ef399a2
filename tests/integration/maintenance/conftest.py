"""A migrated database on each version of PostgreSQL, and rows to fill it with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.maintenance import PostgresMaintenance
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.adapters.postgres.retention import PostgresRetention
from tapi_agent.domain.ids import DeviceId, random_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

MIGRATIONS: Final = Path(__file__).parents[3] / "migrations"
MAINTAINER: Final = Path(__file__).with_name("maintainer.py")
NOW: Final = datetime(2026, 6, 15, 12, tzinfo=UTC)
DEVICE: Final = DeviceId("device-1")
_EVENT: Final = """
INSERT INTO usage_events (
    event_id, recorded_at, stream, seq, tenant_id, device_id, camera_id, event_type, resource_id, resource_type,
    quantity, unit, billable, event_time, canonical, state, batch_id)
VALUES (
    %(event_id)s, usage_id_time(%(event_id)s), gen_random_uuid(), 1, %(tenant_id)s, %(device_id)s, '', 'api_call', '',
    '', %(quantity)s, 'calls', %(state)s <> 'local', %(event_time)s, '{}', %(state)s, %(batch_id)s)
"""
_BATCH: Final = """
INSERT INTO usage_batches (
    batch_id, root_id, parent_id, stream, dialect, first_seq, last_seq, events, sha256, body, state, settled_at,
    sealed_at, synced)
SELECT %(batch_id)s, %(root_id)s, %(parent_id)s, gen_random_uuid(), 'extended', 1, 1, 1, sha256('x'),
    CASE WHEN %(state)s NOT IN ('settled', 'split') THEN 'x'::bytea END, %(state)s,
    CASE WHEN %(state)s = 'settled' THEN %(at)s END, %(at)s, CASE WHEN %(state)s = 'settled' THEN 1 ELSE 0 END
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The database of a test, and the agent's hands on it."""

    dsn: str
    connection: psycopg.Connection[dict[str, Any]]
    database: Database
    upkeep: PostgresMaintenance
    retention: PostgresRetention

    def query(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        return self.connection.execute(statement, parameters).fetchall()

    def value(self, statement: str, *parameters: object) -> Any:
        ((value,),) = (row.values() for row in self.query(statement, *parameters))
        return value

    def execute(self, statement: str, parameters: object = None) -> None:
        self.connection.execute(statement, parameters)  # type: ignore[arg-type]

    def month(self, parent: str, start: str, end: str) -> None:
        """Make a month, such as ``month("usage_events", "2026-01-01", "2026-02-01")``."""
        name = f"{parent}_{start[:7].replace('-', '_')}"
        self.execute(f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{start}Z') TO ('{end}Z')")

    def months(self, parent: str) -> list[str]:
        """Names of the tables that are months of ``parent``, detached or not."""
        rows = self.query("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ %s", f"^{parent}_[0-9_]+$")
        return sorted(row["relname"] for row in rows)

    def event(self, age: timedelta, state: str = "synced", *, quantity: object = 1, **columns: object) -> UUID:
        """A usage event recorded ``age`` before ``NOW``; returns its id."""
        event_id = random_id(NOW - age, os.urandom(10))
        given = {"tenant_id": "t", "device_id": DEVICE, "event_time": NOW - age, "batch_id": None}
        self.execute(_EVENT, given | {"event_id": event_id, "state": state, "quantity": quantity} | columns)
        return event_id

    def batch(
        self, age: timedelta, state: str = "settled", *, root: UUID | None = None, parent: UUID | None = None
    ) -> UUID:
        """A batch that was settled, or sealed, ``age`` before ``NOW``; returns its id."""
        batch_id = random_id(NOW - age, os.urandom(10))
        given = {"batch_id": batch_id, "root_id": root or batch_id, "parent_id": parent, "state": state}
        self.execute(_BATCH, given | {"at": NOW - age})
        return batch_id

    def events(self) -> set[UUID]:
        return {row["event_id"] for row in self.query("SELECT event_id FROM usage_events")}


async def rig_at(dsn: str) -> AsyncIterator[Rig]:
    database = Database(dsn=dsn)
    await database.open()
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
        yield Rig(
            dsn=dsn,
            connection=connection,
            database=database,
            upkeep=PostgresMaintenance(dsn=dsn, database=database),
            retention=PostgresRetention(database=database, device_id=DEVICE, chunk=3),
        )
    await database.close()


@pytest.fixture
async def rig(database_dsn: str) -> AsyncIterator[Rig]:
    """On PostgreSQL 18; chunks of three rows."""
    async for rig in rig_at(database_dsn):
        yield rig


@pytest.fixture
async def every_rig(every_empty_dsn: str) -> AsyncIterator[Rig]:
    """On each version that the SQL must run on."""
    await Migrator(dsn=every_empty_dsn, directory=MIGRATIONS, agent_version="0").up()
    async for rig in rig_at(every_empty_dsn):
        yield rig
