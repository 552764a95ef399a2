"""What only PostgreSQL does: the newest wins whoever writes last, devices share a site, columns for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from tapi_agent.adapters.postgres.licenses import PostgresEvidence, PostgresLicenseLog
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Durations, Evidence, LicenseMode, LicenseState, LicenseStatus, Reason, Subject
from tapi_agent.ports.licenses import SealedEvidence
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.licenses import MemoryMark

HOUR = timedelta(hours=1)
LAST = datetime(9000, 1, 1, tzinfo=UTC)
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
        pytest.param(
            {"signed": True, "verified_at": START + HOUR}, {"verified_at": START}, "kept", id="signed, from the future"
        ),
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
        assert await neighbor.load_all() == {}
        await neighbor.save(replace(WORD, subject=replace(SUBJECT, **other)), "theirs")
    assert await tier.load_all() == {SUBJECT: "ours"}


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


def row(dsn: str) -> dict:
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        (only,) = connection.execute("SELECT *, raw_reply::text AS raw FROM camera_licenses").fetchall()
    return only


@pytest.mark.parametrize(("signed", "source"), [(False, "service"), (True, "lease")])
async def test_a_row_says_what_its_word_came_by(tier, database_dsn: str, signed: bool, source: str) -> None:  # noqa: FBT001 - a table
    await tier.save(replace(WORD, signed=signed), "sealed")
    assert row(database_dsn)["source"] == source


@pytest.mark.parametrize(
    ("until", "ends"),
    [(None, None), (START, START + timedelta(days=3)), (LAST, LAST + timedelta(days=3))],
    ids=["no end", "an end", "the last end there is"],
)
async def test_a_row_says_when_the_grace_ends(tier, database_dsn: str, until, ends) -> None:
    durations = Durations(license_grace=timedelta(days=3))
    await tier.save(replace(WORD, valid_until=until, durations=durations), "sealed")
    assert row(database_dsn)["grace_ends_at"] == ends
    await tier.save(replace(WORD, valid_until=START, durations=durations), "sealed")
    assert row(database_dsn)["grace_ends_at"] == START + timedelta(days=3)


async def test_a_row_says_when_a_trial_or_a_subscription_ends(tier, database_dsn: str) -> None:
    await tier.save(replace(WORD, mode=LicenseMode.TRIAL, not_before=START, valid_until=START + HOUR), "sealed")
    trial = row(database_dsn)
    assert (trial["trial_started_at"], trial["trial_ends_at"]) == (START, START + HOUR)
    assert (trial["subscription_started_at"], trial["subscription_ends_at"]) == (None, None)
    await tier.save(replace(WORD, mode=LicenseMode.ENTERPRISE, valid_until=START + HOUR), "sealed")
    bought = row(database_dsn)
    assert (bought["trial_ends_at"], bought["subscription_ends_at"]) == (None, START + HOUR)


def sealed(evidence: Evidence = WORD, raw: str = "", text: str = "sealed") -> SealedEvidence:
    return SealedEvidence(evidence=evidence, sealed=text, raw=raw)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ('{"is_valid" : true,\n "x": 1.50}', '{"is_valid" : true,\n "x": 1.50}'),
        ('{"a": "\\u0000 Tür \u2028"}', '{"a": "\\u0000 Tür \u2028"}'),
        ("", None),
        ('{"a": NaN}', None),
        ('\ufeff{"a": 1}', None),
        ('{"a": "\\ud800"}', None),
        ("{\0}", None),
        ("[" * 5000, None),
        ("[" * 5000 + "]" * 5000, None),
    ],
    ids=["as it came", "escapes", "none", "NaN", "byte order mark", "half a pair", "NUL", "broken", "too deep"],
)
async def test_the_reply_is_kept_beside_the_evidence_and_never_at_its_cost(tier, database_dsn, raw, kept) -> None:
    await tier.save_many([sealed(raw=raw)])
    assert row(database_dsn)["raw"] == kept
    assert await tier.load(SUBJECT) == "sealed"


async def test_the_same_word_again_does_not_lose_its_reply_and_a_later_one_does_not_take_it_over(
    tier, database_dsn
) -> None:
    await tier.save_many([sealed(raw='{"a": 1}')])
    await tier.save_many([sealed()])
    assert row(database_dsn)["raw"] == '{"a": 1}'
    await tier.save_many([sealed(raw='{"a": 2}')])
    assert row(database_dsn)["raw"] == '{"a": 2}'
    await tier.save_many([sealed(replace(WORD, verified_at=START))])
    assert row(database_dsn)["raw"] is None


async def test_of_many_those_that_are_older_are_not_kept(tier) -> None:
    words = [replace(WORD, subject=replace(SUBJECT, camera_id=CameraId(f"{number:03d}"))) for number in range(128)]
    await tier.save_many([sealed(word, text=f"first {number:03d}") for number, word in enumerate(words)])
    later = [
        replace(word, verified_at=WORD.verified_at + (HOUR if number % 2 else -HOUR))
        for number, word in enumerate(words)
    ]
    await tier.save_many([sealed(word, text=f"later {number:03d}") for number, word in enumerate(later)])
    assert list((await tier.load_all()).values()) == [
        f"{'later' if number % 2 else 'first'} {number:03d}" for number in range(128)
    ]


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
