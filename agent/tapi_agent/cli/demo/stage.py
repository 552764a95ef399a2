"""The stage: a real billing service and a real agent as processes of this machine, with durations of seconds."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.agent import AgentProcess

if TYPE_CHECKING:
    from pathlib import Path

CAMERAS: Final = tuple(f"cam-{number:02d}" for number in range(1, 6))
FRESHNESS: Final = timedelta(seconds=3)
ALLOWANCE: Final = timedelta(seconds=8)
OFFLINE_GRACE: Final = timedelta(seconds=8)
_HOUR: Final = timedelta(hours=1)


class Stage:
    """Both processes in one folder, which goes when the curtain falls unless it is kept."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self._closing = ExitStack()
        if not keep:
            self._closing.callback(shutil.rmtree, folder, ignore_errors=True)
        self._folder = folder
        self.service = SandboxProcess(folder / "ledger.db")
        self.agent = AgentProcess(folder / "agent", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def start(self) -> None:
        """Start the service, sell five cameras, start the agent."""
        self._closing.enter_context(self.service)
        self.service.admin.subscribe(self.service.tenant, mode="base", cameras_allowed=len(CAMERAS))
        self.agent = AgentProcess(self._folder / "agent", self._settings())
        self._closing.enter_context(self.agent)

    def _settings(self) -> dict[str, str]:
        return {
            "TENANT_ID": self.service.tenant,
            "EDGE_DEVICE_ID": "demo-box",
            "CAMERA_IDS": ",".join(CAMERAS),
            "BILLING_SERVICE_URL": f"{self.service.url}/api/v1",
            "BILLING_API_KEY": self.service.api_key,
            "BILLING_TIMEOUT_MS": "1000",
            "BILLING_MAX_RETRIES": "1",
            "CONNECTIVITY_PROBE_SECONDS": "0.5",
            "LICENSE_CACHE_TTL_SECONDS": f"{FRESHNESS.total_seconds()}",
            "OFFLINE_GRACE_PERIOD_HOURS": f"{ALLOWANCE / _HOUR}",
            "LICENSE_OFFLINE_GRACE_HOURS": f"{OFFLINE_GRACE / _HOUR}",
            "USAGE_SYNC_INTERVAL_MINUTES": "0.05",
        }
