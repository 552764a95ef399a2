"""The real migrations, on every version of PostgreSQL they must run on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.migrator import Migrator

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
UNEXPLAINED: Final = """
SELECT relname AS table_name, attname AS column_name
FROM pg_class
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum >= 0 AND NOT attisdropped
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v') AND NOT relispartition
AND coalesce(col_description(attrelid, attnum), '') = ''
UNION ALL
SELECT relname, NULL
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v') AND NOT relispartition
AND coalesce(obj_description(oid, 'pg_class'), '') = ''
"""


async def test_all_migrations_apply_and_a_second_time_is_a_no_op(every_empty_dsn: str) -> None:
    migrator = Migrator(dsn=every_empty_dsn, directory=MIGRATIONS, agent_version="0")
    assert [one.version for one in await migrator.up()] == list(range(1, len(list(MIGRATIONS.glob("*.sql"))) + 1))
    assert await migrator.up() == []


def test_no_migration_ends_its_own_transaction() -> None:
    words = {word for file in MIGRATIONS.glob("*.sql") for word in file.read_text().upper().replace(";", " ; ").split()}
    assert not words & {"COMMIT", "ROLLBACK", "CONCURRENTLY", "VACUUM"}


@pytest.fixture
def connection(database_dsn: str) -> Iterator[psycopg.Connection[dict[str, object]]]:
    with psycopg.connect(database_dsn, row_factory=dict_row, autocommit=True) as connection:
        yield connection


def test_every_table_and_column_is_explained(connection: psycopg.Connection[dict[str, object]]) -> None:
    assert connection.execute(UNEXPLAINED).fetchall() == []


def test_the_33_features_of_the_contract_are_there(connection: psycopg.Connection[dict[str, object]]) -> None:
    query = "SELECT pack, scope, count(*) AS features FROM growth_pack_features GROUP BY pack, scope ORDER BY pack"
    assert [tuple(row.values()) for row in connection.execute(query)] == [
        ("active_transport", "industry", 4),
        ("advanced_analytics", "camera", 4),
        ("base", "camera", 19),
        ("integration", "tenant", 3),
        ("intelligence", "tenant", 3),
    ]


FEATURE: Final = "INSERT INTO growth_pack_features (pack, scope, category, feature_key) VALUES "
CAMERA: Final = "INSERT INTO cameras (tenant_id, camera_id, device_id, registered_at, metadata) VALUES "
DEVICE: Final = "INSERT INTO edge_devices (device_id, tenant_id, management_tier) VALUES "


@pytest.mark.parametrize(
    ("statement", "violation"),
    [
        (f"{FEATURE}('p', 'camera', 'outputs', 'outputs.Email')", "growth_pack_features_feature_key_check"),
        (f"{FEATURE}('p', 'camera', 'outputs', 'outputs.a.b')", "growth_pack_features_feature_key_check"),
        (f"{FEATURE}('p', 'camera', 'outputs', 'llm.email')", "feature_key_in_category"),
        (f"{FEATURE}('p', 'camera', 'magic', 'magic.email')", "growth_pack_features_category_check"),
        (f"{FEATURE}('p', 'planet', 'outputs', 'outputs.email')", "growth_pack_features_scope_check"),
        (f"{FEATURE}('Big Pack', 'camera', 'outputs', 'outputs.email')", "growth_pack_features_pack_check"),
        (f"{FEATURE}('base', 'camera', 'outputs', 'outputs.email')", "growth_pack_features_pkey"),
        (f"{CAMERA}('', 'c', 'd', now(), '{{}}')", "cameras_tenant_id_check"),
        (f"{CAMERA}('t', '', 'd', now(), '{{}}')", "cameras_camera_id_check"),
        (f"{CAMERA}('t', 'c', '', now(), '{{}}')", "cameras_device_id_check"),
        (f"{CAMERA}('t', 'c', 'd', now(), '[]')", "cameras_metadata_check"),
        (f"{DEVICE}('', 't', 'basic')", "edge_devices_device_id_check"),
        (f"{DEVICE}('d', '', 'basic')", "edge_devices_tenant_id_check"),
        (f"{DEVICE}('d', 't', 'gold')", "edge_devices_management_tier_check"),
    ],
)
def test_a_rule_is_a_constraint(
    connection: psycopg.Connection[dict[str, object]], statement: str, violation: str
) -> None:
    with pytest.raises(psycopg.errors.IntegrityError) as error:
        connection.execute(statement)
    assert error.value.diag.constraint_name == violation


@pytest.mark.parametrize(
    ("table", "insert"),
    [("edge_devices", f"{DEVICE}('d', 't', 'basic')"), ("cameras", f"{CAMERA}('t', 'c', 'd', now(), '{{}}')")],
)
def test_a_changed_row_says_when(connection: psycopg.Connection[dict[str, object]], table: str, insert: str) -> None:
    connection.execute(insert)
    (row,) = connection.execute(f"UPDATE {table} SET tenant_id = 'u' RETURNING updated_at > created_at AS later")  # noqa: S608 - ours
    assert row == {"later": True}
