"""What the end-to-end tests share: settings of a test agent, the oracle's list of acknowledged events, waiting."""

from __future__ import annotations

import os
import struct
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections import Counter

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

_SHIM: Final = Path(__file__).with_name("stepped_wall.c")
BACKLOG = ("spooled", "pending", "sealed", "ambiguous")


def settings_for(service: SandboxProcess, **more: str) -> dict[str, str]:
    return {
        "TENANT_ID": service.tenant,
        "EDGE_DEVICE_ID": "box-1",
        "CAMERA_IDS": "cam-01,cam-02",
        "BILLING_SERVICE_URL": f"{service.url}/api/v1",
        "BILLING_API_KEY": service.api_key,
        "BILLING_TIMEOUT_MS": "1000",
        "BILLING_MAX_RETRIES": "0",
        "CONNECTIVITY_PROBE_SECONDS": "0.2",
        "USAGE_SYNC_INTERVAL_MINUTES": "0.02",
        **more,
    }


def record(agent: AgentProcess, count: int = 10, **fields: Any) -> list[str]:
    """Event ids the agent has acknowledged."""
    with agent.client() as client:
        return [client.record("api_call", 1, camera_id="cam-01", **fields)["event_id"] for _ in range(count)]


def all_up(status: dict[str, Any]) -> bool:
    return all(one["up"] for one in status["dependencies"])


def settle(agent: AgentProcess, *, within: float = 30) -> None:
    """Wait until nothing is on its way."""
    with agent.client(timeout=60) as client:

        def empty() -> bool:
            client.flush()
            usage = client.status()["usage"]
            return not any(usage[name] for name in BACKLOG)

        wait_until(empty, within=within, what="backlog delivered")


def billed(service: SandboxProcess) -> Counter[str]:
    return service.admin.times_billed()


def install_plugin(site: Path, name: str, source: str) -> str:
    """Leave a distribution with one plugin in the folder ``site``, as pip would; the PYTHONPATH on which it is."""
    metadata = site / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[tapi_agent]\n{name} = plugin_{name}\n")
    (site / f"plugin_{name}.py").write_text(source)
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))


class Wall:
    """The wall clock of an agent and its engines."""

    def __init__(self, folder: Path, compiler: str) -> None:
        library, self._file = folder / "stepped_wall.so", folder / "wall.offset"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, _SHIM, "-ldl"], check=True)
        self.set(timedelta(0))
        self._file.chmod(0o644)
        self.settings = {"LD_PRELOAD": str(library), "WALL_OFFSET": str(self._file)}

    def set(self, ahead: timedelta) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", int(ahead.total_seconds())))
