"""Edges reach a plugin at least once each, and the log is whole, however the agent and PostgreSQL are killed."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from e2e_tools import install_plugin, settings_for

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

LISTENER = """
import json, os
from tapi_agent.plugin import hookimpl

@hookimpl
def license_changed(change):
    line = [str(change.edge_id), change.subject.camera_id, change.old, change.new]
    with open(os.environ["HEARD"], "a") as file:
        file.write(json.dumps(line) + "\\n")
        file.flush()
        os.fsync(file.fileno())
"""
KILLS = 10
CAMERAS = [f"cam-{number}" for number in range(1, 5)]
LOG = "SELECT edge_id::text, camera_id, old_state, new_state FROM license_validation_log ORDER BY changed_at, entry_id"


@dataclass
class Site:
    """An agent with a plugin that writes down what it hears, on a PostgreSQL that can be killed."""

    agent: AgentProcess
    service: SandboxProcess
    postgres: Any
    file: Path

    def heard(self) -> list[list[str]]:
        """What the plugin heard: edge_id, camera, old, new. A line that a kill has cut off was not heard."""
        text = self.file.read_text() if self.file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def logged(self) -> list[list[str]]:
        """All edges in the order of their rows."""
        with psycopg.connect(self.postgres.address) as connection:
            return [list(row) for row in connection.execute(LOG)]

    def hears_more(self, edges: int) -> None:
        enough = len(self.heard()) + edges
        wait_until(lambda: len(self.heard()) >= enough, within=30, what=f"{edges} more edges heard")

    def stands(self, state: str) -> None:
        """Wait until every camera is in this state."""
        self.agent.wait_for(lambda s: s["cameras"][state] == len(CAMERAS), within=30, what=f"all {state}")

    @contextmanager
    def unsteady_payer(self, chance: Random) -> Iterator[None]:
        """Meanwhile somebody pays late, for one camera or another, whenever the plugin has heard of it."""
        over = threading.Event()

        def pay_late() -> None:
            while not over.is_set():
                self.service.admin.set_status(
                    self.service.tenant,
                    chance.choice(["past_due", "suspended", "active"]),
                    camera_id=chance.choice(CAMERAS),
                )
                over.wait(chance.uniform(0, 0.05))

        payer = threading.Thread(target=pay_late)
        payer.start()
        try:
            yield
        finally:
            over.set()
            payer.join()


@pytest.fixture
def site(
    private_postgres: Any, valkey_url: str, service: SandboxProcess, launch: Callable[..., AgentProcess], folder: Path
) -> Site:
    service.admin.leases(service.tenant)
    for camera in CAMERAS:
        service.admin.subscribe(service.tenant, camera_id=camera)
    settings = settings_for(
        service,
        CAMERA_IDS=",".join(CAMERAS),
        POSTGRES_DSN=private_postgres.address,
        REDIS_URL=valkey_url,
        LICENSE_CACHE_TTL_SECONDS="0.2",
        TRUSTED_KEYS=service.admin.trusted_keys(),
        PYTHONPATH=install_plugin(folder / "site", "listener", LISTENER),
        HEARD=str(folder / "heard"),
    )
    site = Site(launch(settings), service, private_postgres, folder / "heard")
    site.agent.start()
    site.stands("valid")
    return site


def test_no_edge_is_lost_and_none_is_without_its_row(site: Site) -> None:
    chance = Random(4)  # noqa: S311 - a schedule of accidents, to be repeated
    with site.unsteady_payer(chance):
        for round_ in range(KILLS):
            if round_ == KILLS // 2:
                site.postgres.kill()
                site.hears_more(chance.randint(1, 8))
                site.postgres.start()
            site.hears_more(chance.randint(1, 8))
            site.agent.kill()
            site.agent.start()
    for camera in CAMERAS:
        site.service.admin.set_status(site.service.tenant, "active", camera_id=camera)
    site.stands("valid")
    site.agent.stop()
    logged, heard = site.logged(), site.heard()
    assert len({edge_id for edge_id, *_ in logged}) == len(logged)
    assert {tuple(edge) for edge in heard} == {tuple(edge) for edge in logged}
    for camera in CAMERAS:
        states = [(old, new) for _, whose, old, new in logged if whose == camera]
        assert [f"{new} then {old}" for (_, new), (old, _) in pairwise(states) if new != old] == []
        assert states[0][0] == "expired"
        assert states[-1][-1] == "valid"
    assert {tuple(edge) for edge in heard} == {tuple(edge) for edge in logged}
