"""Every former version of the schema is upgraded with data in it, whatever happens to the process that does it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from psycopg import sql

from tapi_agent.adapters.postgres.migrator import Migrator

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
FILES: Final = sorted(MIGRATIONS.glob("*.sql"))
PROGRAM: Final = Path(__file__).with_name("migrate.py")
ID: Final = "'01978b2e-0000-7000-8000-000000000000'::uuid"
"""Its time is 2025-06-19T20:42:49.856Z."""
ROWS: Final = {
    "agent_streams": f"(stream, device_id, drained_seq) VALUES ({ID}, 'd', 7)",
    "billing_sync_status": "(service, dedupes, dialect, max_bytes) VALUES ('https://s', true, 'extended', 1048576)",
    "camera_components": "(tenant_id, camera_id, component_id, role, type) VALUES ('t', 'c', 'p', 'sink', 'file')",
    "camera_licenses": "(device_id, tenant_id, camera_id, mode, status, verified_at, not_before, packs, sealed) "
    "VALUES ('d', 't', 'c', 'trial', 'active', now(), now(), '{{base,\"Advanced Analytics\"}}', 'sealed')",
    "cameras": "(tenant_id, camera_id, device_id, registered_at, metadata) VALUES ('t', 'c', 'd', now(), '{\"a\": 1}')",
    "config": "(tenant_id, device_id, key, value) VALUES ('t', 'd', 'k', '1.50')",
    "dwell_times": "(tenant_id, camera_id, track_id, class_name, first_seen, last_seen) "
    "VALUES ('t', 'c', '7', 'car', now(), now() + interval '3 s')",
    "edge_devices": "(device_id, tenant_id, management_tier) VALUES ('d', 't', 'managed')",
    "feature_entitlements": "(device_id, tenant_id, camera_id, feature_key, allowed, reason, license_state, "
    "license_reason, decided_at) VALUES ('d', 't', '', 'outputs.email', true, 'LICENSED', 'valid', 'OK', now())",
    "frames": "(tenant_id, camera_id, captured_at, thumbnail) VALUES ('t', 'c', '2025-06-19Z', '\\xffd8')",
    "growth_pack_features": "(pack, scope, category, feature_key) "
    "VALUES ('retail', 'tenant', 'cv_models', 'cv_models.trolley')",
    "import_files": "(tenant_id, device_id, file_name, sha256, bytes, tables, agent_version, duration) "
    "VALUES ('t', 'd', 'config.db', sha256(''), 0, '{}', '0', '1 s')",
    "import_quarantine": "(tenant_id, device_id, file_name, table_name, row_number, code, detail, content) "
    "VALUES ('t', 'd', 'config.db', 'config', 1, 'INVALID_JSON', 'why', '\\x00ff')",
    "license_validation_log": "(edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at) "
    f"VALUES ({ID}, 'd', 't', 'c', 'valid', 'offline', 'AUTHORITY_UNREACHABLE', now())",
    "line_zones": "(tenant_id, camera_id, zone_id, component_id, start_x, start_y, end_x, end_y) "
    "VALUES ('t', 'c', 'z', 'p', 0, 0.25, 1, 1e-9)",
    "polygon_zones": "(tenant_id, camera_id, zone_id, component_id, corners) "
    'VALUES (\'t\', \'c\', \'z\', \'p\', \'[{"x":0,"y":0},{"x":1,"y":0},{"x":1,"y":1}]\')',
    "quota_counters": "(tenant_id, meter, period, period_start, period_end, quota_limit, soft) "
    "VALUES ('t', 'api_call', 'month', '2025-06-01Z', '2025-07-01Z', 50000, true)",
    "quota_stakes": "(tenant_id, meter, period, period_start, device_id, outstanding, reserved) "
    "VALUES ('t', 'api_call', 'month', '2025-06-01Z', 'd', 120.5, 20)",
    "usage_sink_cursors": "(sink, stream, seq) VALUES ('p/s', '01890000-0000-7000-8000-00000000000a', 7)",
    "telemetry_aggregates": "(tenant_id, camera_id, kind, bucket_start, bucket, event_type, events) "
    "VALUES ('t', 'c', 'series', '2025-06-19Z', '1 hour', 'custom', 5)",
    "telemetry_events": "(tenant_id, camera_id, occurred_at, event_type, source_id) "
    "VALUES ('t', 'c', '2025-06-19Z', 'custom', 'z')",
    "trusted_time": "(device_id, mark, at) VALUES ('d', 'sealed', now())",
    "usage_arrivals": f"(stream, tenant_id, meter, unit, day) VALUES ({ID}, 't', 'm', 'calls', '2025-06-19')",
    "usage_batches": "(batch_id, root_id, stream, dialect, first_seq, last_seq, events, sha256, body) "
    f"VALUES ({ID}, {ID}, {ID}, 'extended', 1, 1, 1, sha256('x'), 'x')",
    "usage_dead_letters": f"(event_id, stream, seq, code, event) VALUES ({ID}, {ID}, 2, 'REJECTED', '\\xff')",
    "usage_duplicates": f"(stream, seq, event_id) VALUES ({ID}, 3, {ID})",
    "usage_events": "(event_id, recorded_at, stream, seq, tenant_id, device_id, camera_id, event_type, resource_id, "
    "resource_type, quantity, unit, billable, event_time, canonical, state) "
    f"VALUES ({ID}, usage_id_time({ID}), {ID}, 1, 't', 'd', 'c', 'api_call', '/x', '', 1.000000001, 'calls', true, "
    "now(), '{\"quantity\":1.000000001}', 'pending')",
    "usage_totals": "VALUES ('t', 'api_call', 'calls', '2025-06-19', 1, 1.000000001, 0, 0)",
}
"""A valid row of each table, in words that every version since the table's first understands."""
IN_ORDER: Final = ("cameras", "camera_components")
"""What others refer to comes first."""
TABLES: Final = """
SELECT relname AS name, relkind = 'p' AS partitioned FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'schema_migrations'
"""


@pytest.fixture
def former(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The migrations of an earlier package."""
    for file in FILES[: request.param]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def migrator(dsn: str, directory: Path = MIGRATIONS) -> Migrator:
    return Migrator(dsn=dsn, directory=directory, agent_version="0")


def tables(connection: psycopg.Connection[Any]) -> dict[str, bool]:
    """Whether each table is partitioned, in an order in which they can be filled."""
    found = dict(connection.execute(TABLES).fetchall())
    return {name: found[name] for name in (*IN_ORDER, *sorted(found)) if name in found}


def fill(connection: psycopg.Connection[Any]) -> None:
    """A row in every table; a table without one in ``ROWS`` fails here."""
    for name, partitioned in tables(connection).items():
        if partitioned:
            month = (
                f"CREATE TABLE {name}_2025_06 PARTITION OF {name} FOR VALUES FROM ('2025-06-01Z') TO ('2025-07-01Z')"
            )
            connection.execute(month)
        connection.execute(f"INSERT INTO {name} {ROWS[name]}")


def rows(connection: psycopg.Connection[Any], name: str) -> Iterator[dict[str, Any]]:
    query = sql.SQL("SELECT to_jsonb(one) FROM {} AS one ORDER BY to_jsonb(one)::text").format(sql.Identifier(name))
    yield from (row for (row,) in connection.execute(query))


@pytest.mark.parametrize("former", range(1, len(FILES) + 1), indirect=True, ids=[file.stem for file in FILES])
async def test_what_was_there_before_an_upgrade_is_there_after_it(every_empty_dsn: str, former: Path) -> None:
    await migrator(every_empty_dsn, former).up()
    with psycopg.connect(every_empty_dsn, autocommit=True) as connection:
        fill(connection)
        before = {name: list(rows(connection, name)) for name in tables(connection)}
    assert all(before.values())
    await migrator(every_empty_dsn).up()
    with psycopg.connect(every_empty_dsn, autocommit=True) as connection:
        for name, known in before.items():
            after = [{column: one[column] for column in known[0]} for one in rows(connection, name)]
            assert after == known


async def test_there_are_twenty_tables_or_more(every_empty_dsn: str) -> None:
    await migrator(every_empty_dsn).up()
    with psycopg.connect(every_empty_dsn) as connection:
        found = tables(connection)
    assert len(found) >= 20
    assert set(found) == set(ROWS)
    assert {name for name, partitioned in found.items() if partitioned} == {"usage_events", "telemetry_events"}


class Child:
    """A process that migrates; its words of failure are in its error stream."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, dsn: str) -> Child:
        command = (sys.executable, PROGRAM, dsn, str(MIGRATIONS))
        return cls(await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE))

    async def kill(self) -> None:
        self._process.kill()
        assert await self._process.wait() == -signal.SIGKILL

    async def outcome(self) -> tuple[int | None, bytes]:
        _, said = await self._process.communicate()
        return self._process.returncode, said


def applied(dsn: str) -> Counter[int]:
    with psycopg.connect(dsn) as connection:
        return Counter(version for (version,) in connection.execute("SELECT version FROM schema_migrations"))


async def until(connection: psycopg.Connection[Any], condition: str) -> None:
    async with asyncio.timeout(30):
        while connection.execute(condition).fetchone() is None:
            await asyncio.sleep(0.01)


BLOCKED: Final = "SELECT FROM pg_locks WHERE relation = 'cameras'::regclass AND NOT granted"
LOCKED: Final = """
SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND datname = current_database()
"""
FREE: Final = f"SELECT WHERE NOT EXISTS ({LOCKED})"


@pytest.mark.parametrize("former", [3], indirect=True, ids=["0003"])
async def test_killed_in_the_middle_of_an_upgrade_it_resumes(every_empty_dsn: str, former: Path) -> None:
    await migrator(every_empty_dsn, former).up()
    with psycopg.connect(every_empty_dsn, autocommit=True) as watcher:
        fill(watcher)
        with psycopg.connect(every_empty_dsn) as reader:
            reader.execute("SELECT * FROM cameras")  # in the way of the ALTER TABLE in 0004, behind tables it has made
            child = await Child.start(every_empty_dsn)
            await until(watcher, BLOCKED)
            await child.kill()
            await until(watcher, FREE)
            assert "config" not in tables(watcher)
        assert applied(every_empty_dsn) == Counter({1: 1, 2: 1, 3: 1})
    assert [one.version for one in await migrator(every_empty_dsn).up()] == list(range(4, len(FILES) + 1))


@pytest.mark.parametrize("former", [3], indirect=True, ids=["0003"])
async def test_the_lock_of_a_killed_agent_is_free_for_the_next(every_empty_dsn: str, former: Path) -> None:
    await migrator(every_empty_dsn, former).up()
    with psycopg.connect(every_empty_dsn, autocommit=True) as watcher, psycopg.connect(every_empty_dsn) as reader:
        reader.execute("SELECT * FROM cameras")
        holder = await Child.start(every_empty_dsn)
        await until(watcher, BLOCKED)
        heir = await Child.start(every_empty_dsn)
        await until(watcher, f"{LOCKED} AND NOT granted")
        await holder.kill()
        await until(watcher, f"SELECT WHERE NOT EXISTS ({LOCKED} AND NOT granted)")
        reader.rollback()
        assert await heir.outcome() == (0, b"")
    assert applied(every_empty_dsn) == Counter(range(1, len(FILES) + 1))


async def test_two_agents_that_start_at_once_apply_each_migration_once(every_empty_dsn: str) -> None:
    children = await asyncio.gather(*(Child.start(every_empty_dsn) for _ in range(2)))
    outcomes = await asyncio.gather(*(child.outcome() for child in children))
    assert outcomes == [(0, b""), (0, b"")]
    assert applied(every_empty_dsn) == Counter(range(1, len(FILES) + 1))
