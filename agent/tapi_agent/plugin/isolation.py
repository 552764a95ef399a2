"""Where plugin code runs: each plugin alone on a daemon thread of its own, one call after another.

Owns the thread and the form of an outcome; what follows from a failure is the host's. A call that never returns holds
up its own thread only: Python cannot end it, so whoever waited walks away (ADR 0020).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended: with a value, with an error (one line, and its traceback), or not in time (``hung``).

    ``fix`` says what to do about an error that is the agent's own.
    """

    value: Any = None
    error: str | None = None
    fix: str = ""
    traceback: str | None = None
    hung: bool = False


class OwnThread:
    """A daemon thread that makes one plugin's calls in order; it never keeps the process alive."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Outcome], Callable[[], object]] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=f"plugin-{name}", daemon=True)
        self._latest: Future[Outcome] | None = None

    @property
    def busy(self) -> bool:
        """Whether a call that it was given has not ended."""
        return self._latest is not None and not self._latest.done()

    def start(self) -> None:
        """From here on, calls are made."""
        self._thread.start()

    def call(self, function: Callable[[], object], *, limit: timedelta) -> Outcome:
        """Make a call and wait for it, at most ``limit``."""
        future = self.submit(function)
        wait([future], timeout=limit.total_seconds())
        return outcome_of(future)

    async def call_async(self, function: Callable[[], object], *, limit: timedelta) -> Outcome:
        """The same for the event loop, which goes on meanwhile."""
        future = self.submit(function)
        waiter = asyncio.wrap_future(future)
        try:
            await asyncio.wait([waiter], timeout=limit.total_seconds())
        finally:
            waiter.cancel()  # a late answer must not look for a loop that is gone
        return outcome_of(future)

    def submit(self, function: Callable[[], object]) -> Future[Outcome]:
        """Make a call after those that were given before; ``outcome_of`` says how it stands."""
        future: Future[Outcome] = Future()
        self._latest = future
        self._calls.put((future, function))
        return future

    def stop(self) -> None:
        """Let the thread end after the calls it was given."""
        self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            if future.set_running_or_notify_cancel():
                future.set_result(_attempt(function))


def outcome_of(future: Future[Outcome]) -> Outcome:
    """How a call ended; hung, as long as it has not."""
    return future.result() if future.done() and not future.cancelled() else Outcome(hung=True)


def _attempt(function: Callable[[], object]) -> Outcome:
    try:
        return Outcome(value=function())
    except BaseException as error:  # noqa: BLE001 - a plugin's sys.exit() must not end its thread, let alone the agent
        return _failure(error)


def _failure(error: BaseException) -> Outcome:
    """Put into words here, on the plugin's thread: ``str(error)`` may be the plugin's own code."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error that cannot be shown is one all the same
        text = "(it has no text)"
    trace = "".join(format_exception(error))
    if isinstance(error, RejectedError):
        return Outcome(error=text, fix=getattr(error, "fix", ""), traceback=trace)
    return Outcome(error=f"{type(error).__name__}: {text}", traceback=trace)
