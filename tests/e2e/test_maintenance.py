"""A running agent keeps its database in order by itself, and tells how its pool is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from e2e_tools import settings_for

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow


def metrics(agent: AgentProcess) -> dict[str, float]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket)), base_url="http://agent") as http:
        lines = http.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_months_are_made_ahead_and_the_pool_is_told_of(
    service: SandboxProcess, launch: Callable[..., AgentProcess], database_dsn: str
) -> None:
    agent = launch(settings_for(service, POSTGRES_DSN=database_dsn, POSTGRES_POOL_SIZE="4"))
    agent.start()

    def months() -> tuple[Any, ...]:
        with psycopg.connect(database_dsn) as connection:
            query = "SELECT usage_months_ahead, telemetry_months_ahead FROM database_health"
            return connection.execute(query).fetchone() or ()

    wait_until(lambda: months() == (2, 2), within=30, what="this month and the next two")
    told = metrics(agent)
    assert 1 <= told["tapi_postgres_pool_size"] <= told["tapi_postgres_pool_limit"] == 4
    assert told["tapi_postgres_pool_requests_total"] > 0
