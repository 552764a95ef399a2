"""A real agent in a thread of this process: for plugin authors, who see their plugin from both sides."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final, Self

from tapi_agent.client.client import AgentClient
from tapi_agent.daemon import live
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.settings import load
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0
_PLUGIN_SECONDS: Final = 2.0
"""Long enough for a plugin that waits for its next call; one that hangs is left behind, as the agent leaves it."""


class AgentThread:
    """The agent with its state and socket under ``directory``; a short path, since a socket lives in it.

    It sees ``settings`` and nothing of this process's environment, of a ``.env`` file or of the machine's agent.toml.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.socket = directory / "agent.sock"
        self._settings = settings
        self._others: frozenset[threading.Thread] = frozenset()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers on its socket. Raises what kept it from starting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "agent.toml").touch()
        self._others = frozenset(threading.enumerate())
        self._thread = threading.Thread(target=self._run, name="tapi-agent", daemon=True)
        self._thread.start()
        try:
            wait_until(self._answers, within=_START_SECONDS, what="the agent answers")
        except BaseException:
            self.stop()
            raise

    def client(self, *, timeout: float = 5.0) -> AgentClient:
        """A client of its socket."""
        return AgentClient(self.socket, timeout=timeout)

    def stop(self) -> None:
        """Let it end as SIGTERM would, and wait for it and its plugins' threads. Raises what it ended with."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            raise TimeoutError(f"the agent did not stop within {_STOP_SECONDS:g} s")
        _join(thread for thread in set(threading.enumerate()) - self._others if thread.name.startswith("plugin-"))
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as failure:  # noqa: BLE001 - raised again in the thread that waits for this one
            self._failure = failure

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        await live(load(self._environment(), self.directory), self._stopping)

    def _environment(self) -> dict[str, str]:
        places = {
            "TAPI_CONFIG": self.directory / "agent.toml",
            "TAPI_STATE_DIR": self.directory / "state",
            "TAPI_SOCKET": self.socket,
        }
        return {name: str(place) for name, place in places.items()} | dict(self._settings)

    def _answers(self) -> bool:
        if self._failure is not None:
            raise self._failure
        try:
            return bool(self.client().status())
        except UnavailableError:
            return False


def _join(threads: Iterable[threading.Thread]) -> None:
    deadline = time.monotonic() + _PLUGIN_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
