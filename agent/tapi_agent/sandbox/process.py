"""The sandbox as a child process, paused, killed and restarted like a real service. For the demo and the tests."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Final, Self

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.sandbox.admin import SandboxAdmin
from tapi_agent.sandbox.handshake import ADMIN_TOKEN, API_KEY, READY

if TYPE_CHECKING:
    from pathlib import Path

_READY_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0


class SandboxProcess:
    """A sandbox on 127.0.0.1 whose ledger is the file ``state``. Port 0 takes a free one, and keeps it over restarts.

    All calls block; as a context manager it runs inside. ``api_key`` speaks for ``tenant``, which has a base license
    and, if ``signed``, is answered with leases (``admin.trusted_keys()`` is the agent's setting).
    """

    def __init__(
        self,
        state: Path,
        *,
        tenant: str = "demo",
        api_key: str = "sandbox-key",
        admin_token: str = "sandbox-admin",  # noqa: S107 - opens a sandbox
        port: int = 0,
        signed: bool = False,
    ) -> None:
        self.tenant = tenant
        self.api_key = api_key
        self._state = state
        self._admin_token = admin_token
        self._port = port
        self._signed = ["--signed"] if signed else []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Root of the service; the contract's calls are below ``/api/v1``."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def admin(self) -> SandboxAdmin:
        """Whoever sells, revokes and plans faults."""
        return SandboxAdmin(self.url, self._admin_token)

    @property
    def pid(self) -> int:
        """The process."""
        if self._process is None:
            raise UnavailableError("the sandbox is not running", fix="call start()")
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers. ``UnavailableError`` when that takes longer than 20 s."""
        command = [sys.executable, "-m", "tapi_agent.sandbox", "--port", str(self._port), "--state", str(self._state)]
        environment = os.environ | {API_KEY: self.api_key, ADMIN_TOKEN: self._admin_token}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [*command, "--tenant", self.tenant, *self._signed],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        try:
            self._port = _port_of(self._process)
        except UnavailableError:
            self.kill()
            raise

    def stop(self) -> int | None:
        """SIGTERM and wait; the exit code, or ``None`` if it was not running. A paused one is woken for it."""
        if self._process is None:
            return None
        self._process.terminate()
        self.resume()
        return self._reap()

    def kill(self) -> None:
        """Kill -9: what was answered is in the ledger, whatever was under way."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def restart(self) -> None:
        """Start again on the same port and state, after stopping it if it runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: a hung service. It takes connections and answers none."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def _reap(self) -> int:
        process, self._process = self._process, None
        assert process is not None  # noqa: S101 - both callers have looked
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _port_of(process: subprocess.Popen[bytes]) -> int:
    """The port in the line that says it is ready."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    with process.stdout as output:
        said = _announcement(output, deadline=time.monotonic() + _READY_SECONDS)
    if READY not in said:
        raise UnavailableError("the sandbox did not start", fix="its reason is on stderr")
    return int(said.rpartition(":")[2])


def _announcement(output: IO[bytes], *, deadline: float) -> str:
    """All up to the line that says it is ready, or what there is when the output or the time ends."""
    text = b""
    while not (READY.encode() in text and text.endswith(b"\n")):
        readable, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
        if not readable or not (more := os.read(output.fileno(), 4096)):
            break
        text += more
    return text.decode()
