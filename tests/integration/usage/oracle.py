"""The sandbox as an oracle: a ledger outside the agent that says what was billed."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.domain.ids import DeviceId

if TYPE_CHECKING:
    from tapi_agent.sandbox.process import SandboxProcess

_TENANTS: Final = count(1)


class Service:
    """One tenant's view of the sandbox."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self.sandbox = sandbox
        self.account = f"account-{next(_TENANTS)}"
        sandbox.admin.clear_faults()
        sandbox.admin.add_tenant(self.account, f"key-of-{self.account}")
        self._seen = len(self._all_posts())

    def client(self) -> HttpBilling:
        return HttpBilling(
            base_url=f"{self.sandbox.url}/api/v1",
            api_key=f"key-of-{self.account}",
            device_id=DeviceId("device-1"),
            timeout=timedelta(seconds=20),
            retries=0,
            dialect="auto",
            agent_version="1",
            verify=ssl.create_default_context(),
        )

    async def faults(self, *rules: dict[str, Any]) -> None:
        on_batches = [{"path": "*/usage/batch", **rule} for rule in rules]
        await asyncio.to_thread(self.sandbox.admin.faults, *on_batches)

    async def behave(self) -> None:
        await asyncio.to_thread(self.sandbox.admin.clear_faults)

    async def lines(self) -> list[dict[str, Any]]:
        ledger = await asyncio.to_thread(self.sandbox.admin.ledger)
        return [line for line in ledger if line["account"] == self.account]

    async def times(self) -> Counter[str]:
        return Counter(line["event_id"] for line in await self.lines())

    def posts(self) -> list[dict[str, Any]]:
        """The requests of this test."""
        return self._all_posts()[self._seen :]

    def _all_posts(self) -> list[dict[str, Any]]:
        recent = self.sandbox.admin.requests()["recent"]
        return [one for one in recent if one["path"].endswith("/usage/batch")]
