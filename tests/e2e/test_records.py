"""What a running agent leaves in the database for people: its device, its licenses, its decisions, how sending went."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from e2e_tools import record, settings_for
from psycopg.rows import dict_row

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow


class Reports:
    """Somebody who looks at the database from outside."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._dsn, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()

    def wait_for(self, query: str, what: str) -> list[dict[str, Any]]:
        """The rows of a query that has some."""
        return wait_until(lambda: self.rows(query), within=20, what=what)


@pytest.fixture
def two(
    service: SandboxProcess, launch: Callable[..., AgentProcess], database_dsn: str, valkey_url: str
) -> list[AgentProcess]:
    """Two boxes of a tenant, with a camera each, on one PostgreSQL and one Redis."""
    boxes = {"box-1": "cam-01", "box-2": "cam-02"}
    site = {"POSTGRES_DSN": database_dsn, "REDIS_URL": valkey_url}
    agents = [
        launch(settings_for(service, EDGE_DEVICE_ID=box, CAMERA_IDS=camera, **site), name=box)
        for box, camera in boxes.items()
    ]
    for agent in agents:
        agent.start()
        agent.wait_for(lambda status: status["state"] == "valid", within=20, what="licensed")
    return agents


def test_a_site_is_in_its_database(two: list[AgentProcess], database_dsn: str, service: SandboxProcess) -> None:
    reports = Reports(database_dsn)
    beats = "SELECT * FROM edge_devices WHERE last_heartbeat_at IS NOT NULL"
    wait_until(lambda: len(reports.rows(beats)) == 2, within=20, what="both devices")
    devices = {row["device_id"]: row for row in reports.rows("SELECT * FROM edge_devices")}
    assert devices["box-1"]["tenant_id"] == service.tenant
    assert devices["box-1"]["hardware"]["cpus"] > 0
    assert devices["box-1"]["network"]["hostname"]
    assert devices["box-1"]["heartbeat_interval"].total_seconds() >= 60
    decided = (
        "SELECT * FROM feature_entitlements WHERE feature_key = 'analytics.heatmap' AND camera_id <> '' AND allowed"
    )
    wait_until(lambda: len(reports.rows(decided)) == 2, within=20, what="both cameras' decisions")
    decisions = {(row["device_id"], row["camera_id"]): row for row in reports.rows(decided)}
    assert set(decisions) == {("box-1", "cam-01"), ("box-2", "cam-02")}
    one = decisions["box-1", "cam-01"]
    assert (one["source_pack"], one["license_state"], one["license_reason"]) == ("base", "valid", "OK")
    assert one["holds_until"] > one["decided_at"]
    (license_row,) = reports.wait_for("SELECT * FROM camera_licenses WHERE camera_id = 'cam-01'", "the license")
    assert license_row["source"] == "service"
    assert license_row["raw_reply"]["is_valid"] is True
    assert service.api_key not in json.dumps(license_row["raw_reply"])


def test_how_sending_went_is_in_the_database(two: list[AgentProcess], database_dsn: str) -> None:
    record(two[0], 3)
    with two[0].client() as client:
        client.flush()
    (status,) = Reports(database_dsn).wait_for(
        "SELECT * FROM billing_sync_status WHERE events_synced >= 3", "a round of sending"
    )
    assert status["last_success_at"] == status["last_attempt_at"]
    assert status["last_error"] == ""
    assert status["attempts"] >= 1


def test_what_one_agent_hears_the_other_asks_about_at_once(two: list[AgentProcess], service: SandboxProcess) -> None:
    service.admin.subscribe(service.tenant, mode="base", packs=["advanced_analytics"])
    check = {"feature": "analytics.near_miss", "camera": "cam-02"}
    with two[0].client() as first, two[1].client() as second:
        assert not second.check(**check)["allowed"]
        first.validate("cam-01", wait=5)
        wait_until(lambda: second.check(**check)["allowed"], within=5, what="the other agent's camera allowed")
