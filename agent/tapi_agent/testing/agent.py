"""A real agent as a child process: for end-to-end tests, for plugin authors, and for the demo."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from tapi_agent.client.client import AgentClient
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_INHERITED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "PYTHONPATH",
    "COVERAGE_PROCESS_START",
    "COVERAGE_PROCESS_CONFIG",
    "TMPDIR",
)
_STOP_SECONDS: Final = 20.0


class AgentProcess:
    """``tapi-agent run`` with its state, socket and log under ``directory``; a short path, since sockets live in it."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.socket = directory / "agent.sock"
        self.log = directory / "agent.log"
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What the agent sees: nothing of this process's settings, all of ``settings``."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        places = {"TAPI_STATE_DIR": str(self.directory / "state"), "TAPI_SOCKET": str(self.socket)}
        return inherited | places | self._settings

    @property
    def pid(self) -> int:
        """Process id of the running agent."""
        if self._process is None:
            raise ProcessLookupError("the agent is not started")
        return self._process.pid

    def start(self, *, within: float = 20.0) -> None:
        """Start it and wait until it answers on its socket."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tapi_agent", "run"],
                cwd=self.directory,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        wait_until(self._answers, within=within, what=f"agent answering (log: {self.log})")

    def client(self, *, timeout: float = 5.0) -> AgentClient:
        """A client of its socket; close it."""
        return AgentClient(self.socket, timeout=timeout)

    def status(self) -> dict[str, Any]:
        """What it says of itself."""
        with self.client() as client:
            return client.status()

    def wait_for(self, condition: Callable[[dict[str, Any]], object], *, within: float, what: str) -> dict[str, Any]:
        """The first status for which ``condition`` holds."""
        return wait_until(lambda: next(filter(condition, [self.status()]), None), within=within, what=what)

    def kill(self) -> None:
        """Kill -9, as a power cut of this one process; embedded engines live on."""
        self._end(signal.SIGKILL)

    def stop(self) -> int | None:
        """SIGTERM and wait; the exit code, or ``None`` when it was not running."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise ChildProcessError(f"the agent ended with {self._process.returncode}:\n{self.log.read_text()[-2000:]}")
        # Not through the client: httpcore leaves a socket open when nobody listens.
        with socket.socket(socket.AF_UNIX) as door:
            if door.connect_ex(str(self.socket)) != 0:
                return False
        return bool(self.status())
