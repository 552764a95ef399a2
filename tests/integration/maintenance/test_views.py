"""What SQL may ask: functions, materialized views, the health view; on every version, against the tables they read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import psycopg
import pytest

HOUR: Final = timedelta(hours=1)
CAMERA: Final = """
INSERT INTO cameras (tenant_id, camera_id, device_id, registered_at) VALUES (%s, %s, 'd', now() - interval '1 day')
"""
DECISION: Final = """
INSERT INTO feature_entitlements (device_id, tenant_id, camera_id, feature_key, allowed, reason, license_state,
    license_reason, source_pack, decided_at, holds_until)
VALUES (%s, 't', %s, 'outputs.email', %s, %s, 'valid', 'OK', 'base', now() - make_interval(hours => %s),
    now() + make_interval(hours => %s))
"""
LICENSE: Final = """
INSERT INTO camera_licenses (device_id, tenant_id, camera_id, mode, status, verified_at, valid_until, packs, sealed)
VALUES (%s, %s, %s, %s, 'active', now() - make_interval(hours => %s), now() + make_interval(hours => %s), '{base}', 'x')
"""
EDGE: Final = """
INSERT INTO license_validation_log (edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at)
VALUES (gen_random_uuid(), %s, %s, %s, %s, %s, %s, now() - make_interval(hours => %s))
"""
SEEN: Final = """
INSERT INTO telemetry_events (tenant_id, camera_id, occurred_at, event_type, source_id)
VALUES ('t', %s, now() - make_interval(hours => %s), %s, '')
"""
TAKEN: Final = """
INSERT INTO frames (tenant_id, camera_id, captured_at) VALUES ('t', 'busy', now() - make_interval(hours => %s))
"""
LETTER: Final = """
INSERT INTO usage_dead_letters (event_id, stream, seq, batch_id, code, event)
VALUES (gen_random_uuid(), gen_random_uuid(), 1, %s, 'REJECTED', %s)
"""


def check(rig: Any, camera: str, feature: str = "outputs.email") -> tuple[object, ...]:
    (row,) = rig.query("SELECT * FROM feature_check('t', %s, %s)", camera, feature)
    return row["allowed"], row["reason"], row["device_id"], row["source_pack"], row["stale"]


def test_a_feature_is_as_the_newest_agent_decided(every_rig: Any) -> None:
    every_rig.execute(DECISION, ["old", "c", False, "PACK_REQUIRED", 2, 1])
    every_rig.execute(DECISION, ["new", "c", True, "LICENSED", 1, 1])
    every_rig.execute(DECISION, ["old", "", True, "LICENSED", 9, -1])
    assert check(every_rig, "c") == (True, "LICENSED", "new", "base", False)
    assert check(every_rig, "") == (True, "LICENSED", "old", "base", True)
    assert check(every_rig, "c", "outputs.fax") == (False, "FEATURE_UNKNOWN", None, None, False)
    assert check(every_rig, "other") == (False, "FEATURE_UNKNOWN", None, None, False)


def test_a_camera_that_no_agent_knows_is_answered_as_any_such(every_rig: Any) -> None:
    every_rig.execute(DECISION, ["one", "*", True, "LICENSED", 1, 1])
    every_rig.execute(DECISION, ["old", "*", False, "CAMERA_UNKNOWN", 2, 1])
    every_rig.execute(DECISION, ["old", "c", False, "PACK_REQUIRED", 9, -1])
    assert check(every_rig, "other") == (True, "LICENSED", "one", "base", False)
    assert check(every_rig, "c") == (False, "PACK_REQUIRED", "old", "base", True), "one that is known has its own"
    assert check(every_rig, "other", "outputs.fax") == (False, "FEATURE_UNKNOWN", None, None, False)


def test_a_decision_without_end_is_never_stale(every_rig: Any) -> None:
    every_rig.execute(DECISION, ["d", "c", True, "LICENSED", 900, 1])
    every_rig.execute("UPDATE feature_entitlements SET holds_until = NULL")
    assert check(every_rig, "c") == (True, "LICENSED", "d", "base", False)


def license_of(rig: Any, camera: str) -> dict[str, Any]:
    (row,) = rig.query("SELECT * FROM camera_license_status('t', %s)", camera)
    return dict(row)


def test_a_license_is_as_its_last_edge_says_beside_the_newest_word(every_rig: Any) -> None:
    every_rig.execute(EDGE, ["d", "t", "c", "expired", "valid", "OK", 1])
    every_rig.execute(
        EDGE, ["e", "t", "c", "valid", "grace", "PAST_DUE", 5]
    )  # written later, by a clock that is behind
    every_rig.execute(LICENSE, ["d", "t", "c", "trial", 9, 1])
    every_rig.execute(LICENSE, ["e", "t", "c", "base", 3, 99])
    status = license_of(every_rig, "c")
    assert (status["state"], status["reason"], status["mode"], status["packs"]) == (
        "grace",
        "PAST_DUE",
        "base",
        ["base"],
    )
    assert status["since"] == every_rig.value("SELECT changed_at FROM license_validation_log WHERE device_id = 'e'")
    assert status["verified_at"] < status["valid_until"]


def test_a_new_camera_is_expired_since_it_was_registered(every_rig: Any) -> None:
    every_rig.execute(CAMERA, ["t", "c"])
    status = license_of(every_rig, "c")
    assert (status["state"], status["reason"], status["mode"]) == ("expired", "NO_LICENSE", None)
    assert status["since"] == every_rig.value("SELECT registered_at FROM cameras")
    assert license_of(every_rig, "nobody") == status | {"since": None}


def test_marking_counts_only_what_is_under_way_in_that_batch(every_rig: Any) -> None:
    every_rig.month("usage_events", "2026-06-01", "2026-07-01")
    batch, other = every_rig.batch(HOUR, "sealed"), every_rig.batch(HOUR, "sealed")
    sealed = [every_rig.event(HOUR, "sealed", batch_id=batch) for _ in range(3)]
    foreign, done = every_rig.event(HOUR, "sealed", batch_id=other), every_rig.event(HOUR, "synced", batch_id=batch)
    assert every_rig.value("SELECT mark_usage_synced(%s, %s)", batch, [*sealed[:2], foreign, done]) == 2
    left = every_rig.query("SELECT event_id FROM usage_events WHERE state = 'sealed'")
    assert {row["event_id"] for row in left} == {sealed[2], foreign}


async def view(rig: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a view after a refresh, without the time of that."""
    before = rig.value("SELECT now()")
    assert await rig.upkeep.refresh_views()
    rows = rig.query(f"SELECT * FROM {name} ORDER BY 1, 2")  # noqa: S608 - ours
    assert all(row.pop("refreshed_at") >= before for row in rows)
    return rows


async def test_camera_status_counts_a_day_and_knows_the_last_of_all_time(every_rig: Any) -> None:
    await every_rig.upkeep.make_months(now(every_rig) - 90 * 24 * HOUR, now(every_rig))
    for camera in ("busy", "quiet", "past"):
        every_rig.execute(CAMERA, ["t", camera])
    types = ("detection", "detection", "tracking", "crossing", "classification", "custom")
    for hours, kind in enumerate(types, start=1):
        every_rig.execute(SEEN, ["busy", hours, kind])
    every_rig.execute(SEEN, ["busy", 25, "detection"])
    every_rig.execute(SEEN, ["past", 24 * 80, "custom"])
    for hours in (2, 30):
        every_rig.execute(TAKEN, [hours])
    busy, past, quiet = await view(every_rig, "camera_status_24h")
    assert busy["last_event_at"] == every_rig.value("SELECT max(occurred_at) FROM telemetry_events")
    assert busy["last_frame_at"] == every_rig.value("SELECT max(captured_at) FROM frames")
    counted = ("events", "detections", "trackings", "crossings", "classifications", "custom_events", "frames")
    assert [busy[name] for name in counted] == [6, 2, 1, 1, 1, 1, 1]
    assert [past[name] for name in counted] == [quiet[name] for name in counted] == [0] * 7
    assert past["last_event_at"] == every_rig.value("SELECT min(occurred_at) FROM telemetry_events")
    assert quiet["last_event_at"] is quiet["last_frame_at"] is None
    assert (quiet["enabled"], quiet["device_id"]) == (True, "d")


async def test_daily_usage_says_how_far_it_has_come_even_where_the_rows_have_gone(every_rig: Any) -> None:
    every_rig.month("usage_events", "2026-06-01", "2026-07-01")
    every_rig.execute("INSERT INTO usage_totals VALUES ('t', 'api_call', 'calls', '2026-06-15', 10, 100.5, 2, 7)")
    every_rig.execute("INSERT INTO usage_totals VALUES ('t', 'sms_sent', 'count', '2026-01-01', 4, 4, 0, 0)")
    every_rig.event(HOUR, "pending", quantity=Decimal("1.5"))
    every_rig.event(HOUR, "sealed", quantity=4, batch_id=every_rig.batch(HOUR, "sealed"))
    batch = every_rig.batch(HOUR)
    body = b'{"tenant_id":"t","event_type":"api_call","unit":"calls","quantity":3,"event_time":"2026-06-15T11:00:00Z"}'
    every_rig.execute(LETTER, [batch, body])
    every_rig.execute(LETTER, [None, b"\xff was never counted"])
    calls, texts = sorted(await view(every_rig, "tenant_usage_daily"), key=lambda row: row["meter"])
    assert calls == {
        "tenant_id": "t",
        "day": datetime(2026, 6, 15, tzinfo=UTC).date(),
        "meter": "api_call",
        "unit": "calls",
        "events": 10,
        "quantity": Decimal("100.5"),
        "delivered_events": 7,
        "delivered_quantity": Decimal(92),
        "waiting_events": 2,
        "waiting_quantity": Decimal("5.5"),
        "dead_events": 1,
        "dead_quantity": Decimal(3),
        "local_events": 2,
        "local_quantity": Decimal(7),
    }
    assert (texts["delivered_events"], texts["waiting_events"], texts["dead_events"]) == (4, 0, 0)


async def test_the_license_summary_counts_every_camera_once(every_rig: Any) -> None:
    for tenant, camera in (("t", "a"), ("t", "b"), ("t", "new"), ("u", "a")):
        every_rig.execute(CAMERA, [tenant, camera])
    every_rig.execute(LICENSE, ["d", "t", "a", "base", 5, 7])
    every_rig.execute(LICENSE, ["e", "t", "a", "base", 2, 9])
    every_rig.execute(LICENSE, ["d", "t", "b", "trial", 4, -3])
    every_rig.execute(LICENSE, ["d", "t", "elsewhere", "enterprise", 1, 80])
    every_rig.execute(LICENSE, ["d", "t", "", "enterprise", 99, 99])
    for camera, state in (("a", "offline"), ("b", "grace"), ("elsewhere", "valid")):
        every_rig.execute(EDGE, ["d", "t", camera, "expired", state, "OK", 1])
    one, other = await view(every_rig, "tenant_license_summary")
    states = [one[name] for name in ("cameras", "valid", "offline", "grace", "expired")]
    modes = [one[name] for name in ("trial", "base", "enterprise", "unlicensed")]
    assert (one["tenant_id"], states, modes) == ("t", [4, 1, 1, 1, 1], [1, 1, 1, 1])
    ends, words = "valid_until WHERE device_id = 'e'", "verified_at WHERE camera_id = 'b'"
    for column, query in (("next_end_at", ends), ("oldest_word_at", words)):
        what, where = query.split(" ", 1)
        assert one[column] == every_rig.value(f"SELECT {what} FROM camera_licenses {where}")  # noqa: S608 - ours
    assert (other["tenant_id"], other["cameras"], other["expired"], other["unlicensed"]) == ("u", 1, 1, 1)
    assert other["next_end_at"] is other["oldest_word_at"] is None


def now(rig: Any) -> datetime:
    at = rig.value("SELECT now()")
    assert isinstance(at, datetime)
    return at


async def test_a_refresh_waits_for_no_reader_and_no_reader_for_it(every_rig: Any) -> None:
    with psycopg.connect(every_rig.dsn) as reader:
        reader.execute("SELECT * FROM tenant_license_summary")
        every_rig.execute(CAMERA, ["t", "c"])
        async with asyncio.timeout(20):
            assert await every_rig.upkeep.refresh_views()
        assert every_rig.value("SELECT cameras FROM tenant_license_summary") == 1


async def test_one_agent_refreshes_for_all_and_a_gone_one_holds_nobody_up(rig: Any) -> None:
    with psycopg.connect(rig.dsn, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('tapi-agent maintenance'), hashtext('views'))")
        assert await rig.upkeep.refresh_views() is False
        rig.execute("SELECT pg_terminate_backend(%s)", [other.info.backend_pid])
        async with asyncio.timeout(20):
            while not await rig.upkeep.refresh_views():
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("months", [0, 1, 13])
async def test_health_tells_what_an_operator_asks_first(every_rig: Any, months: int) -> None:
    present = now(every_rig)
    await every_rig.upkeep.make_months(present, present + 31 * months * 24 * HOUR)
    every_rig.month("usage_events", "2020-01-01", "2020-02-01")
    every_rig.execute(CAMERA, ["t", "c"])
    await every_rig.upkeep.refresh_views()
    every_rig.execute(LETTER, [None, b""])
    for state in ("sealed", "ambiguous", "ambiguous", "settled"):
        every_rig.batch(HOUR, state)
    (health,) = every_rig.query("SELECT * FROM database_health")
    ages = {name: age for name, age in health.items() if name.endswith("_age")}
    assert ages.pop("tenant_usage_age") is None
    assert all(timedelta(0) <= age < HOUR for age in ages.values())
    assert health["database_bytes"] > 10**6
    assert health["schema_version"] == every_rig.value("SELECT count(*) FROM schema_migrations")
    counts = (
        "pending_events",
        "sealed_events",
        "waiting_batches",
        "sending_batches",
        "ambiguous_batches",
        "dead_letters",
    )
    assert [health[name] for name in counts] == [0, 0, 1, 0, 2, 1]
    assert min(months, 12) <= health["usage_months_ahead"] == health["telemetry_months_ahead"] <= min(months + 1, 12)


def test_health_tells_of_what_waits_and_of_a_missing_month(every_rig: Any) -> None:
    every_rig.month("usage_events", "2026-06-01", "2026-07-01")
    every_rig.event(2 * HOUR, "pending")
    every_rig.event(HOUR, "pending")
    (health,) = every_rig.query("SELECT * FROM database_health")
    oldest = every_rig.value("SELECT min(recorded_at) FROM usage_events")
    assert (health["pending_events"], health["oldest_pending_at"]) == (2, oldest)
    assert health["usage_months_ahead"] == health["telemetry_months_ahead"] == -1
