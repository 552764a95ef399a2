"""What only PostgreSQL does: the newest wins whoever writes last, devices share a site, columns for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from tapi_agent.adapters.postgres.licenses import PostgresEvidence, PostgresLicenseLog
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Evidence, LicenseMode, LicenseState, LicenseStatus, Reason, Subject
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.licenses import MemoryMark

HOUR = timedelta(hours=1)
BOX = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}
SUBJECT = Subject(**BOX, camera_id=CameraId("gate"))
WORD = Evidence(subject=SUBJECT, mode=LicenseMode.BASE, verified_at=START - HOUR)


@pytest.fixture
def tier(database: Database) -> PostgresEvidence:
    clock = Timekeeper(clock=FakeClock(), store=MemoryMark())
    return PostgresEvidence(database=database, clock=clock, **BOX)


@pytest.mark.parametrize(
    ("kept", "offered", "expected"),
    [
        pytest.param({}, {"verified_at": START}, "offered", id="newer"),
        pytest.param({}, {"verified_at": START - 2 * HOUR}, "kept", id="older"),
        pytest.param({"signed": True}, {"verified_at": START}, "kept", id="unsigned, over signed"),
        pytest.param({"verified_at": START}, {"verified_at": START - HOUR, "signed": True}, "offered", id="signed"),
        pytest.param(
            {"signed": True, "sequence": 2},
            {"signed": True, "sequence": 1, "verified_at": START},
            "kept",
            id="sequence",
        ),
        pytest.param({"sequence": 2}, {"sequence": 1, "verified_at": START}, "offered", id="unsigned sequence"),
        pytest.param({"verified_at": START + HOUR}, {"verified_at": START}, "offered", id="kept is from the future"),
    ],
)
async def test_older_evidence_never_replaces_newer(tier, kept, offered, expected) -> None:
    await tier.save(replace(WORD, **kept), "kept")
    await tier.save(replace(WORD, **offered), "offered")
    assert await tier.load(SUBJECT) == expected


async def test_devices_and_tenants_on_one_site_do_not_see_each_other(tier, database) -> None:
    await tier.save(WORD, "ours")
    for other in ({"device_id": DeviceId("box 2")}, {"tenant_id": TenantId("other")}):
        neighbor = PostgresEvidence(database=database, clock=tier._clock, **BOX | other)
        assert list(await neighbor.load_all()) == []
        await neighbor.save(replace(WORD, subject=replace(SUBJECT, **other)), "theirs")
    assert list(await tier.load_all()) == ["ours"]


async def test_the_columns_say_what_the_evidence_says(tier, database_dsn: str) -> None:
    full = replace(
        WORD,
        mode=LicenseMode.TRIAL,
        status=LicenseStatus.SUSPENDED,
        not_before=START - 9 * HOUR,
        valid_until=START + 9 * HOUR,
        packs=("Advanced Analytics", "retail"),
        cameras_allowed=2,
        sequence=2**40,
        denied=Reason.SUSPENDED,
    )
    await tier.save(full, "sealed")
    with psycopg.connect(database_dsn, row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute("SELECT * FROM camera_licenses").fetchone()
    assert row is not None
    assert {name: row[name] for name in ("mode", "status", "not_before", "valid_until", "cameras_allowed")} == {
        "mode": "trial",
        "status": "suspended",
        "not_before": START - 9 * HOUR,
        "valid_until": START + 9 * HOUR,
        "cameras_allowed": 2,
    }
    assert (row["packs"], row["sequence"], row["denied"]) == (["Advanced Analytics", "retail"], 2**40, "SUSPENDED")


@pytest.mark.parametrize(
    "column", ["mode = 'golden'", "status = 'dead'", "device_id = ''", "sealed = ''", "denied = ''"]
)
async def test_the_table_refuses_nonsense(tier, database, column: str) -> None:
    await tier.save(WORD, "sealed")
    with pytest.raises(RejectedError, match="camera_licenses"):
        async with database.connection() as connection:
            await connection.execute(f"UPDATE camera_licenses SET {column}")  # noqa: S608 - the example's own text


EDGE = LicenseChanged(
    edge_id=UUID(int=1),
    subject=SUBJECT,
    old=LicenseState.VALID,
    new=LicenseState.GRACE,
    reason=Reason.PAST_DUE,
    at=START,
)


async def test_edges_are_written_all_or_none(database) -> None:
    log = PostgresLicenseLog(database=database, **BOX)
    with pytest.raises(RejectedError, match="edge_changes_the_state"):
        await log.append([EDGE, replace(EDGE, edge_id=UUID(int=2), new=EDGE.old)])
    assert list(await log.unpublished()) == []


async def test_edges_of_another_device_are_not_ours_to_publish(database) -> None:
    theirs = replace(EDGE, subject=replace(SUBJECT, device_id=DeviceId("box 2")))
    log = PostgresLicenseLog(database=database, **BOX)
    await log.append([theirs])
    assert list(await log.unpublished()) == []


async def test_before_the_migration_it_is_unavailable(empty_database_dsn: str, tier) -> None:
    database = Database(dsn=empty_database_dsn)
    await database.open()
    early = PostgresEvidence(database=database, clock=tier._clock, **BOX)
    with pytest.raises(UnavailableError, match="not migrated"):
        await early.load_all()
    with pytest.raises(UnavailableError, match="not migrated"):
        await PostgresLicenseLog(database=database, **BOX).append([EDGE])
    await database.close()
