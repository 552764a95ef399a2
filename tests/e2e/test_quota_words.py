"""Usage on its way and the billing service's word on a quota: nothing is counted twice, nothing is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from e2e_tools import all_up, settings_for, settle

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.client import AgentClient
    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow


def standing(client: AgentClient, meter: str) -> dict[str, Any]:
    return next(one for one in client.quota()["quotas"] if one["meter"] == meter)


def service_says(service: SandboxProcess, feature: str) -> int:
    """What the billing service says is left."""
    category, name = feature.split(".")
    reply = httpx.post(
        f"{service.url}/api/v1/entitlements/check",
        json={"tenant_id": service.tenant, "feature_category": category, "feature_name": name},
        headers={"Authorization": f"Bearer {service.api_key}"},
        trust_env=False,
    )
    return int(reply.json()["quota_remaining"])


def test_usage_that_the_service_does_not_know_of_when_it_speaks_is_not_forgotten(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    feature, meter = "llm.analyst_seat_full", "llm_tokens"
    service.admin.quota(service.tenant, feature, meter=meter, monthly_limit=10_000)
    service.admin.faults({"action": "status", "status": 503, "path": "/api/v1/usage/*"})
    agent = launch(settings_for(service))
    agent.start()
    agent.wait_for(all_up, within=30, what="all up")
    with agent.client(timeout=30) as client:
        for _ in range(6):
            client.record_many([{"event_type": meter, "quantity": 1}] * 1000)
        client.check(feature)
        wait_until(lambda: standing(client, meter)["source"] == "service", within=20, what="the service's word")
        assert service_says(service, feature) == 10_000
        assert standing(client, meter)["remaining"] == "4000"
        service.admin.clear_faults()
        settle(agent)
        assert service_says(service, feature) == 4000
        assert standing(client, meter)["remaining"] == "4000"
