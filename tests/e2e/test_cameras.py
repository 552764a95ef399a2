"""Cameras of a site with two agents on one PostgreSQL and one Redis, as real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from e2e_tools import all_up, settings_for

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.client import AgentClient
    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

IMPORTED = """
INSERT INTO cameras (tenant_id, camera_id, device_id, registered_at, config)
VALUES (%s, 'imported', 'box-1', '2020-01-01T00:00:00Z', '{"source": {"type": "rtsp"}}')
"""


def names(client: AgentClient) -> dict[str, str]:
    return {one["camera_id"]: one["name"] for one in client.cameras()["cameras"]}


def licensed(client: AgentClient) -> list[str]:
    return [one["camera_id"] for one in client.license_status()["licenses"] if one["state"] == "valid"]


@pytest.fixture
def stores(private_engines: Any) -> dict[str, str]:
    return {"POSTGRES_DSN": private_engines.postgres.address, "REDIS_URL": private_engines.valkey.address}


@pytest.mark.timeout(180)
def test_agents_of_a_site_see_each_others_cameras(
    stores: dict[str, str], service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    first = launch(settings_for(service, **stores), name="first")
    second = launch(settings_for(service, **stores, EDGE_DEVICE_ID="box-2", CAMERA_IDS=""), name="second")
    for agent in (first, second):
        agent.start()
        agent.wait_for(all_up, within=20, what="everything up")
    with first.client() as here, second.client() as there:
        with psycopg.connect(stores["POSTGRES_DSN"]) as connection:
            connection.execute(IMPORTED, (service.tenant,))
        wait_until(lambda: licensed(here) == ["imported", "cam-01", "cam-02"], within=30, what="imported and licensed")
        wait_until(lambda: names(there).keys() == {"imported", "cam-01", "cam-02"}, within=30, what="seen by the other")
        for name in ("one", "two", "three"):
            here.patch_camera("imported", {"name": name})
            wait_until(lambda name=name: names(there)["imported"] == name, within=1, what=f"name {name} at the other")
        assert there.camera("imported")["config"] == {"source": {"type": "rtsp"}}
        here.delete_camera("imported")
        wait_until(lambda: "imported" not in names(there), within=1, what="gone at the other")


@pytest.mark.timeout(180)
def test_cameras_outlive_postgresql_and_kill_9(
    private_engines: Any, stores: dict[str, str], service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service, **stores))
    agent.start()
    agent.wait_for(all_up, within=20, what="everything up")
    with agent.client() as client:
        wait_until(lambda: names(client).keys() == {"cam-01", "cam-02"}, within=30, what="the registered written down")
        client.put_camera({"camera_id": "cam-01"})  # answered when what was read while it was written down is forgotten
        assert names(client).keys() == {"cam-01", "cam-02"}
        private_engines.postgres.kill()
        assert names(client).keys() == {"cam-01", "cam-02"}
        with pytest.raises(UnavailableError):
            client.put_camera({"camera_id": "new"})
        assert licensed(client) == ["cam-01", "cam-02"]
        private_engines.postgres.start()
        wait_until(lambda: _put(client, "new"), within=2, what="written again")
        client.put_camera({"camera_id": "gone"})
        client.delete_camera("gone")
        agent.kill()
        agent.start()
        agent.wait_for(all_up, within=20, what="everything up again")
        assert names(client).keys() == {"cam-01", "cam-02", "new"}
        wait_until(lambda: licensed(client) == ["cam-01", "cam-02", "new"], within=20, what="the others licensed")


def _put(client: AgentClient, camera_id: str) -> bool:
    try:
        return bool(client.put_camera({"camera_id": camera_id}))
    except UnavailableError:
        return False
