"""Valkey as a child process: a cache without disk or TCP port, guarded by directory permissions and a password."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from functools import cached_property
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote

from typing_extensions import override

from tapi_agent.adapters.engines import wheels
from tapi_agent.adapters.engines.engine import Answer, Engine
from tapi_agent.adapters.engines.places import give, write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from signal import Signals

_PROBE_TIMEOUT: Final = 1.0


class EmbeddedValkey(Engine):
    """Valkey below ``state_dir/valkey``; ``url`` is known before ``start``.

    It asks for a password even though its directory is private: as root it runs as postgres or nobody, accounts which
    other programs use too, and what it caches must not be theirs to write.
    """

    name: ClassVar[str] = "valkey"
    program: ClassVar[str] = "valkey-server"
    stop_signals: ClassVar[Sequence[Signals]] = (SIGTERM, SIGKILL)

    def __init__(
        self,
        state_dir: Path,
        *,
        max_memory_mb: int = 64,
        start_within: timedelta = timedelta(seconds=10),
        stop_within: timedelta = timedelta(seconds=5),
    ) -> None:
        super().__init__(
            state_dir, wheel=wheels.valkey(), socket="valkey.sock", start_within=start_within, stop_within=stop_within
        )
        self._max_memory_mb = max_memory_mb

    @property
    def url(self) -> str:
        """For ``redis.from_url``; holds the password, so never log it. First use creates the password's file."""
        return f"unix://:{self._password}@{quote(str(self._socket))}?db=0"

    @cached_property
    def _password(self) -> str:
        """Kept in a file, because an adopted Valkey still has the password it was started with."""
        path = self._home / "password"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, secrets.token_hex(32))
        return path.read_text()

    @property
    @override
    def _pid_file(self) -> Path:
        return self._run / "valkey.pid"

    @property
    @override
    def _mark(self) -> Path:
        return self._socket

    @override
    def _argv(self) -> tuple[str, ...]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self._max_memory_mb}mb",
            "maxmemory-policy": "allkeys-lru",
            "daemonize": "no",
            "pidfile": str(self._pid_file),
            "dir": str(self._run),
            "loglevel": "warning",
            "set-proc-title": "no",  # a new title would hide the command line by which it is adopted
        }
        arguments = (part for key, value in settings.items() for part in (f"--{key}", value))
        return (self._wheel.program(self.program), "-", *arguments)

    @override
    def _config(self) -> str:
        return f"requirepass {self._password}\n"

    @override
    async def _prepare(self) -> None:
        give(self._run, self._account)

    @override
    async def _probe(self) -> Answer:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                return Answer.READY if await self._ping() == b"+OK\r\n+PONG\r\n" else Answer.SILENT
        except (OSError, EOFError):  # asyncio's timeout is an OSError, its incomplete read an EOFError
            return Answer.SILENT

    async def _ping(self) -> bytes:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            return await reader.readline() + await reader.readline()
        finally:
            writer.close()
