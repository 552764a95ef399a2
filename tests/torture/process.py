"""Lean agents (``runner``) as processes: forked from one that has imported everything, so that a life costs little."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final

from tests.torture.runner import Order, live

if TYPE_CHECKING:
    from datetime import timedelta
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from tests.torture.oracle import Draft

_PRELOADED: Final = ("psycopg_pool", "pytest", "structlog", "tapi_agent.testing.clock", "tapi_agent.adapters.spool")
_PATIENCE: Final = 90.0
_SERVER: Final = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([*_PRELOADED, "tapi_agent.adapters.billing", "tapi_agent.services.delivery"])


class Gone(Exception):  # noqa: N818 - an end that was wanted, not a fault
    """The process has ended before it answered."""


class LeanAgent:
    """One agent, life after life, on the same spool. Calls block; several threads may make them."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._process: BaseProcess | None = None
        self._line: _Line | None = None

    @property
    def spool(self) -> Path:
        """The folder of its spool."""
        return self.order.spool.parent

    def start(self, *, traps: str = "") -> None:
        """Begin a life; return when it takes events. With ``traps`` it may be over before that."""
        self.begin(traps=traps)
        assert self._line is not None
        try:
            self._line.ready.result(_PATIENCE)
        except Gone:
            if not traps:
                raise ChildProcessError(f"the agent did not start:\n{self.log()}") from None

    def begin(self, *, traps: str = "") -> None:
        """Begin a life, and do not wait for anything."""
        ours, its = _SERVER.Pipe()
        order = replace(self.order, traps=traps)
        self._process = _SERVER.Process(target=live, args=(order, its), daemon=True)
        self._process.start()
        its.close()
        self._line = _Line(ours)

    def record(self, drafts: list[Draft]) -> list[str]:
        """The ids, once all are acknowledged; in the place of one what is wrong with its draft. Raises ``Gone``."""
        answer: list[str] = self.ask("record", drafts)
        return answer

    def ask(self, verb: str, argument: object = None) -> Any:
        """What ``runner`` answers. Raises ``Gone``."""
        if self._line is None:
            raise Gone
        return self._line.ask(verb, argument).result(_PATIENCE)

    def advance(self, by: timedelta) -> None:
        """Compressed time, in this life and for those to come."""
        self.order = replace(self.order, elapsed=self.order.elapsed + by)
        self.ask("advance", by)

    @property
    def pid(self) -> int:
        """Of the life that has begun last, and has not been seen to end."""
        if self._process is None or self._process.pid is None:
            raise ProcessLookupError("the agent does not run")
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Such as SIGSTOP and SIGCONT."""
        os.kill(self.pid, number)

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def stat(self) -> str:
        """What the kernel says of it."""
        return Path(f"/proc/{self.pid}/stat").read_text()

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self) -> None:
        """Let it end by itself, if it runs."""
        if self._process is None:
            return
        if self._process.is_alive():
            self.signal(signal.SIGCONT)
            self.ask("stop")
        self.ended()

    def ended(self, *, within: float = _PATIENCE) -> int | None:
        """Wait for its end; the exit code, such as -9. One that does not end is killed, and has ``None``."""
        process, self._process = self._process, None
        assert process is not None
        process.join(within)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
        process.close()
        return code

    def log(self) -> str:
        """The end of what it has logged."""
        return self.order.log.read_text()[-3000:] if self.order.log.exists() else ""


class _Line:
    """A conversation with one life; ``ready`` is done when it takes events."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = count(1)
        self._over = False
        self._lock = Lock()
        self.ready: Future[Any] = Future()
        self._waiting = {0: self.ready}
        Thread(target=self._hear, daemon=True).start()

    def ask(self, verb: str, argument: object) -> Future[Any]:
        with self._lock:
            if self._over:
                raise Gone
            number = next(self._numbers)
            self._waiting[number] = answer = Future()
            try:
                self._connection.send((number, verb, argument))
            except OSError:
                raise Gone from None
        return answer

    def _hear(self) -> None:
        """Give each answer to whoever waits for it; in the end, tell the others that none will come."""
        try:
            while True:
                number, answer = self._connection.recv()
                self._waiting.pop(number).set_result(answer)
        except (EOFError, OSError):
            with self._lock:
                self._over = True
        for future in self._waiting.values():
            future.set_exception(Gone())
        self._connection.close()
