"""The whole daemon in the place of a lean agent: spoken to by the client library and by bare posts on its socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e_tools import settings_for
from tests.torture.process import Gone
from typing_extensions import override

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.failpoints import VARIABLE
from tapi_agent.testing.agent import AgentProcess

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from tests.torture.oracle import Draft
    from tests.torture.scene import Scene

_START: Final = 60.0
_TIMEOUT: Final = 20.0


class DaemonAgent:
    """Implements what ``scene`` and ``load`` ask of an agent."""

    def __init__(self, scene: Scene, **settings: str) -> None:
        own = {"TENANT_ID": scene.account, "BILLING_API_KEY": scene.key, "POSTGRES_DSN": scene.dsn}
        self._settings = settings_for(scene.service, **own | settings)
        self._directory = scene.folder / "daemon"
        self.process = AgentProcess(self._directory, self._settings)
        scene.agents.append(self)

    @property
    def spool(self) -> Path:
        """The folder of its spool."""
        return self._directory / "state" / "spool"

    def start(self, *, traps: str = "", **settings: str) -> None:
        """Return when it answers; with ``traps`` it may be over before that. ``settings`` are for this life only."""
        self.process = AgentProcess(self._directory, self._settings | {VARIABLE: traps} | settings)
        try:
            self.process.start(within=_START)
        except (ChildProcessError, UnavailableError):
            if not traps:
                raise

    def ended(self, *, within: float) -> int | None:
        """Wait for its end; the exit code, such as -9, ``None`` when it goes on."""
        process = self.process._process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(within)
        return process.poll()

    def kill(self) -> None:
        """SIGKILL; engines that are not its own live on."""
        self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP and SIGCONT."""
        os.kill(self.process.pid, number)

    def stop(self) -> None:
        """SIGTERM, if it runs."""
        self.process.stop()

    def record(self, drafts: Sequence[Draft]) -> list[str]:
        """With a key by the client library, which sends again by itself; without by a bare post."""
        send = self._by_client if "dedupe_key" in drafts[0] else self._by_hand
        try:
            results = send(drafts)["results"]
        except (OSError, HTTPException, UnavailableError):
            raise Gone from None
        return [result.get("event_id") or json.dumps(result) for result in results]

    def ask(self, verb: str) -> Any:
        """As ``runner`` does."""
        with self.process.client(timeout=_TIMEOUT) as client:
            return _VERBS[verb](client)

    def log(self) -> str:
        """The end of what it has logged."""
        return self.process.log.read_text()[-3000:]

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _by_client(self, drafts: Sequence[Draft]) -> dict[str, Any]:
        with self.process.client(timeout=_TIMEOUT) as client:
            return client.record_many(drafts)

    def _by_hand(self, drafts: Sequence[Draft]) -> dict[str, Any]:
        with closing(_Post(self.process.socket)) as connection:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/api/v1/usage/events", json.dumps(list(drafts)), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer


def _backlog(client: Any) -> dict[str, int]:
    usage: dict[str, int] = client.status()["usage"]
    return usage


_VERBS: Final[dict[str, Callable[[Any], Any]]] = {"flush": lambda client: client.flush(), "backlog": _backlog}


class _Post(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
