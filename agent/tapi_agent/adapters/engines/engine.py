"""The life of one engine: adopt or start, wait until it answers, watch, start again, stop.

What differs between PostgreSQL and Valkey is in the abstract methods.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Final

import structlog

from tapi_agent.adapters.engines.account import engine_account
from tapi_agent.adapters.engines.places import check_socket_path, open_home
from tapi_agent.adapters.engines.process import EngineProcess, held, launch, recorded_pid, tail
from tapi_agent.domain.errors import TapiError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from signal import Signals

    from tapi_agent.adapters.engines.wheels import Wheel

log = structlog.get_logger(__name__)

_POLL: Final = timedelta(milliseconds=50)
_FIRST_PAUSE: Final = timedelta(seconds=0.5)
_LONGEST_PAUSE: Final = timedelta(seconds=30)


class EngineState(StrEnum):
    """Where an engine is in its life, as status shows it."""

    STOPPED = "stopped"
    """Not started yet, or stopped on purpose."""
    STARTING = "starting"
    """Being adopted, initialized, started, or recovering."""
    RUNNING = "running"
    """It has answered and its process lives."""
    FAILED = "failed"
    """It died or could not be started; ``last_error`` says why; supervision tries again."""


class Answer(StrEnum):
    """What a probe of the engine's socket brought."""

    READY = "ready"
    BUSY = "busy"
    """It speaks but is not open yet (recovering after a power cut): leave it alone."""
    SILENT = "silent"


class Engine(ABC):
    """One supervised engine below ``state_dir``.

    The constructor starts nothing, but raises ``ConfigurationError`` for what no retry could cure: wheel not installed,
    socket path over 90 bytes, root without a user to run it as.
    """

    name: ClassVar[str]
    program: ClassVar[str]
    stop_signals: ClassVar[Sequence[Signals]]

    def __init__(
        self, state_dir: Path, *, wheel: Wheel, socket: str, start_within: timedelta, stop_within: timedelta
    ) -> None:
        self.state = EngineState.STOPPED
        self.last_error: TapiError | None = None
        self.adopted = False
        self._state_dir = state_dir.resolve()  # the engine's account must pass every directory of the path it is given
        self._home = self._state_dir / self.name
        self._run = self._home / "run"
        self._socket = self._run / socket
        check_socket_path(self._state_dir, self._socket)
        self._account = engine_account()
        self._wheel = wheel
        self._start_within = start_within
        self._stop_within = stop_within
        self._process: EngineProcess | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the running engine; None when it does not run."""
        return self._process.pid if self._process is not None and self._process.alive else None

    async def start(self) -> None:
        """Adopt a running engine or start one, and wait until it answers; does nothing when it runs already.

        Raises ``UnavailableError`` (try again) or ``ConfigurationError``; both are kept in ``last_error``.
        """
        await self._ensure_running()

    async def _ensure_running(self) -> EngineProcess:
        async with self._turn:
            if self.state is EngineState.RUNNING and self._process is not None and self._process.alive:
                return self._process
            self.state = EngineState.STARTING
            try:
                process = await self._start()
            except TapiError as error:
                self._failed(error)
                raise
            except OSError as error:
                unavailable = UnavailableError(f"{self.name} cannot be started: {error}", fix=self._where_to_look)
                self._failed(unavailable)
                raise unavailable from error
            self.state = EngineState.RUNNING
            self.last_error = None
        log.info("engine.running", engine=self.name, pid=process.pid, adopted=self.adopted)
        return process

    async def stop(self) -> None:
        """End the engine, also one left behind by another agent process. Cancel ``supervise`` first."""
        async with self._turn:
            process = self._process or self._find()
            if process is not None:
                await process.end(self.stop_signals, patience=self._stop_within)
            self._process = None
            self.state = EngineState.STOPPED
        log.info("engine.stopped", engine=self.name)

    async def supervise(self) -> None:
        """Keep the engine running until cancelled; failures show in ``state`` and ``last_error``, none is raised."""
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while True:
            began = clock()
            await self._run_once()
            if clock() - began > _LONGEST_PAUSE.total_seconds():
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause.total_seconds())
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run_once(self) -> None:
        try:
            process = await self._ensure_running()
        except TapiError:
            return  # told already
        await process.exited()
        self._failed(UnavailableError(f"{self.name} (pid {process.pid}) died", fix=self._where_to_look))

    async def _start(self) -> EngineProcess:
        open_home(self._state_dir, self.name, self._account)
        if not self._wheel.readable_by(self._account):
            copies = open_home(self._state_dir, "binaries", self._account)
            self._wheel = await asyncio.to_thread(self._wheel.copied_below, copies)
        await self._drop_unusable()
        if self._process is None:
            await self._prepare()
            self._process = launch(self._argv(), account=self._account, output=self._output, config=self._config())
        await self._until_ready(self._process)
        return self._process

    async def _drop_unusable(self) -> None:
        """Leave in ``_process`` only a live engine with today's command line; end one of an older release."""
        if self._process is None or not self._process.alive:
            self._process = self._find()
            self.adopted = self._process is not None
        if self._process is not None and self._process.argv != self._argv():
            log.info("engine.outdated", engine=self.name, pid=self._process.pid)
            await self._end(self._process)

    def _find(self) -> EngineProcess | None:
        pid = recorded_pid(self._pid_file)
        process = held(pid) if pid is not None else None
        if process is None or not process.runs(self.program, on=self._mark, owner=self._account.uid):
            return None
        return process

    async def _end(self, process: EngineProcess) -> None:
        await process.end(self.stop_signals, patience=self._stop_within)
        self._process = None
        self.adopted = False

    async def _until_ready(self, process: EngineProcess) -> None:
        answer = Answer.SILENT
        try:
            async with asyncio.timeout(self._start_within.total_seconds()):
                while (answer := await self._probe()) is not Answer.READY:
                    if await process.exited(within=_POLL):
                        raise UnavailableError(
                            f"{self.name} ended at start: {self._printed()}", fix=self._where_to_look
                        )
        except TimeoutError as error:
            if answer is Answer.SILENT:  # its socket is gone or it hangs: the next attempt deserves a fresh one
                await self._end(process)
            raise UnavailableError(
                f"{self.name} is {answer} after {self._start_within}", fix=self._where_to_look
            ) from error

    def _failed(self, error: TapiError) -> None:
        """Log the first failure and each change of its reason, not every attempt."""
        if str(error) != str(self.last_error):
            log.error("engine.failed", engine=self.name, error=str(error), fix=error.fix)
        self.state = EngineState.FAILED
        self.last_error = error

    @property
    def _output(self) -> Path:
        return self._home / "output.log"

    def _printed(self) -> str:
        return tail(self._output.read_bytes()) or "it printed nothing"

    @property
    def _where_to_look(self) -> str:
        return f"look into {self._home}"

    @property
    @abstractmethod
    def _pid_file(self) -> Path:
        """The engine writes its pid there."""

    @property
    @abstractmethod
    def _mark(self) -> Path:
        """The argument by which a command line is recognized as this engine's."""

    @abstractmethod
    def _argv(self) -> tuple[str, ...]:
        """The command line; an engine running with another one is replaced."""

    def _config(self) -> str:
        """What the engine reads on standard input."""
        return ""

    @abstractmethod
    async def _prepare(self) -> None:
        """Make what the engine needs before it is launched."""

    @abstractmethod
    async def _probe(self) -> Answer:
        """Ask over the socket; no answer is ``SILENT``."""
