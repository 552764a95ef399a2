"""What the fixture ``tapi`` gives to the author of a plugin: a real agent, and a real billing service that sells.

Owns how the two are put together. The agent itself is ``testing.thread``, the service ``tapi_agent.sandbox``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.thread import AgentThread
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tapi_agent.client.client import AgentClient

_PATIENCE: Final = 30.0
_BACKLOG: Final = ("spooled", "pending", "sealed", "ambiguous")


class Tapi:
    """A running agent with every installed plugin in it, as applications see it.

    ``client`` asks the agent over its socket; ``billing`` is its billing service, to be stopped, paused, or told to
    sell (``billing.admin``). The tenant has a base license for a year and any number of cameras; the camera ``cam-1``
    is known already.
    """

    def __init__(self, agent: AgentThread, billing: SandboxProcess) -> None:
        self.agent = agent
        self.billing = billing
        self._sold: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def client(self) -> AgentClient:
        """What an application would ask."""
        return self.agent.client()

    def grant(self, camera: str, *packs: str) -> None:
        """Sell growth packs for a camera, by slug or title; the agent knows when this returns."""
        self._sell(camera, self._sold[camera] | set(packs))

    def withdraw(self, camera: str, *packs: str) -> None:
        """End them for a camera; the agent knows when this returns."""
        self._sell(camera, self._sold[camera] - set(packs))

    def plugin(self, name: str) -> dict[str, Any]:
        """How a plugin stands, by its entry point's name, as ``tapi-agent plugins list`` has it."""
        plugins = self.client.plugins()["plugins"]
        found = next((plugin for plugin in plugins if plugin["name"] == name), None)
        if found is None:
            names = ", ".join(plugin["name"] for plugin in plugins)
            raise LookupError(f"no plugin {name} is installed (there are: {names}): pip install it first")
        return dict(found)

    def usage(self, meter: str) -> Decimal:
        """How much was recorded on a meter, delivered or not."""
        rows = self.client.summary()["rows"]
        return sum((Decimal(str(row["quantity"])) for row in rows if row["meter"] == meter), Decimal(0))

    def deliver(self) -> None:
        """Bring all recorded usage to the billing service. Needs PostgreSQL: the fixture ``tapi_full``."""
        client = self.agent.client(timeout=60)

        def empty() -> bool:
            client.flush()
            usage = client.status()["usage"]
            return not any(usage[name] for name in _BACKLOG)

        wait_until(empty, within=_PATIENCE, what="all usage delivered")

    def billed(self, meter: str) -> Decimal:
        """How much of a meter the billing service has on its bill."""
        lines = self.billing.admin.ledger()
        return sum((Decimal(line["quantity"]) for line in lines if line["event_type"] == meter), Decimal(0))

    def _sell(self, camera: str, packs: set[str]) -> None:
        self.billing.admin.subscribe(self.billing.tenant, camera_id=camera, packs=sorted(packs))
        client = self.client
        wait_until(
            lambda: set(client.validate(camera, wait=5)["packs"]) == packs,
            within=_PATIENCE,
            what=f"camera {camera} with the packs {sorted(packs)}",
        )
        self._sold[camera] = packs


@contextmanager
def running_tapi(settings: Mapping[str, str] | None = None, *, engines: bool = False) -> Iterator[Tapi]:
    """An agent and a billing service while the block lasts; ``settings`` are the agent's variables.

    Without ``engines`` it runs as with its PostgreSQL and Valkey down, which takes a second: usage is recorded durably
    and waits. With them it starts both, and delivers.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="ta-", dir="/tmp"))  # short, as a socket's path must be
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # as root, PostgreSQL runs as another user, who must pass
        billing = stack.enter_context(SandboxProcess(folder / "ledger.db"))
        nobody = {} if engines else _no_stores(folder)
        agent = AgentThread(folder / "agent", {**_settings(billing), **nobody, **(settings or {})})
        stack.enter_context(agent).client().validate("cam-1", wait=5)
        yield Tapi(agent, billing)


def _settings(billing: SandboxProcess) -> dict[str, str]:
    return {
        "TENANT_ID": billing.tenant,
        "EDGE_DEVICE_ID": "test-box",
        "BILLING_SERVICE_URL": f"{billing.url}/api/v1",
        "BILLING_API_KEY": billing.api_key,
        "BILLING_MAX_RETRIES": "0",
        "CONNECTIVITY_PROBE_SECONDS": "0.2",
        "USAGE_SYNC_INTERVAL_MINUTES": "0.1",
    }


def _no_stores(folder: Path) -> dict[str, str]:
    """Servers that are never there."""
    return {"POSTGRES_DSN": f"postgresql://tapi@/tapi?host={folder}/none", "REDIS_URL": f"unix://{folder}/none.sock"}
