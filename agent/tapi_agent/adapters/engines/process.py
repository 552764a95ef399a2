"""Operating-system processes: start one that outlives us, recognize it later, wait for it, end it; run short commands.

Knows nothing about PostgreSQL or Valkey; called by ``engine`` and the two engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from tapi_agent.adapters.engines.account import Account

log = structlog.get_logger(__name__)

# PGPORT, PGHOST, LD_LIBRARY_PATH and their like in the agent's environment must not reach the engines.
_ENVIRONMENT: Final = {"PATH": os.defpath, "LC_ALL": "C"}
_PID_BYTES: Final = 32
_TAIL: Final = 400


class EngineProcess:
    """A running process held by pidfd, our child or one left by a killed agent: its pid cannot be reused under us."""

    def __init__(self, pid: int) -> None:
        self.pid: Final = pid
        self._descriptor: Final = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._descriptor)

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not, and one of ours is reaped."""
        dead = bool(select.select([self._descriptor], [], [], 0)[0])
        if dead:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED | os.WNOHANG)
        return not dead

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line it was started with; empty when it is gone."""
        try:
            return tuple(os.fsdecode(Path(f"/proc/{self.pid}/cmdline").read_bytes()).split("\0")[:-1])
        except OSError:
            return ()

    def runs(self, program: str, *, on: Path, owner: int) -> bool:
        """Whether this is ``program`` started on the path ``on`` by uid ``owner``, not a stranger with a reused pid."""
        argv = self.argv
        return bool(argv) and Path(argv[0]).name == program and str(on) in argv and self._owner() == owner

    def _owner(self) -> int | None:
        try:
            return Path(f"/proc/{self.pid}").stat().st_uid
        except OSError:
            return None

    async def exited(self, *, within: timedelta | None = None) -> bool:
        """Wait until it is gone, or ``within`` has passed; says whether it is gone."""
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        descriptor = os.dup(self._descriptor)
        loop.add_reader(descriptor, gone.set)
        try:
            async with asyncio.timeout(within.total_seconds() if within is not None else None):
                await gone.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return not self.alive

    async def end(self, signals: Sequence[signal.Signals], *, patience: timedelta) -> None:
        """Send each signal in turn until the process is gone, ``patience`` for each."""
        for number in signals:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)
            if await self.exited(within=patience):
                return
            log.warning("engine.signal_ignored", pid=self.pid, signal=number.name)
        raise UnavailableError(
            f"process {self.pid} does not end", fix=f"look at it with ps {self.pid}; it may wait for a disk"
        )


def recorded_pid(pid_file: Path) -> int | None:
    """The pid in the first line of a pid file; None when there is none.

    The engine's account may write there while we are root: no link is followed, no FIFO waited for, little is read.
    """
    try:
        with open(pid_file, "rb", opener=_without_following) as file:
            first = file.read(_PID_BYTES).split(b"\n")[0].strip()
    except OSError:
        return None
    return int(first) if first.isdigit() and 0 < int(first) < 1 << 31 else None


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def held(pid: int) -> EngineProcess | None:
    """The process with this pid, or None when there is none."""
    try:
        return EngineProcess(pid)
    except OSError:
        return None


def launch(argv: Sequence[str], *, account: Account, output: Path, config: str = "") -> EngineProcess:
    """Start a process that outlives the agent: own session (no Ctrl-C), output to a file (no broken pipe).

    ``config`` is what it reads on standard input: the place for secrets, since a command line is public. Forking takes
    milliseconds, as asyncio's own subprocesses do; an asyncio one would be killed when its event loop goes.
    """
    reading, writing = os.pipe()
    try:
        os.write(writing, config.encode())
    finally:
        os.close(writing)
    with os.fdopen(reading) as stdin, output.open("wb") as file:
        child = subprocess.Popen(  # noqa: S603 - the wheel's program with arguments made in this package
            argv,
            stdin=stdin,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            **account.identity(),
        )
    process = EngineProcess(child.pid)
    child.returncode = 0  # EngineProcess reaps it: Popen must not complain that a child outlives it
    return process


async def run(argv: Sequence[str], *, account: Account, deadline: timedelta, stdin: str = "") -> tuple[int, str]:
    """Run a short command to its end: exit status and the last of what it printed; killed with its children if late."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        umask=0o077,
        start_new_session=True,
        **account.identity(),
    )
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            printed, _ = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise UnavailableError(
            f"{Path(argv[0]).name} has not ended within {deadline}", fix="look at the disk"
        ) from error
    finally:
        await _reap(process)
    return process.returncode or 0, tail(printed)


async def _reap(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


def tail(printed: bytes) -> str:
    """The last few hundred characters, fit for an error message."""
    return printed.decode(errors="replace").strip()[-_TAIL:]
