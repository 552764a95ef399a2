"""One small file that is always whole: the only writer of state files. Knows nothing of what is in them."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = structlog.get_logger(__name__)


class DurableFile:
    """A file replaced as a whole. Writes that come while one is under way share the next one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = asyncio.Lock()
        self._disk = threading.Lock()
        self._asked = 0
        self._written = 0

    async def read(self) -> bytes | None:
        """The content; ``None`` when there is no file. Raises ``UnavailableError``."""
        return await asyncio.to_thread(self._read)

    async def write(self, content: Callable[[], bytes]) -> None:
        """Return when what ``content`` gives, now or a moment later, is on disk. Raises ``UnavailableError``."""
        self._asked += 1
        mine = self._asked
        async with self._turn:
            if self._written < mine:
                await asyncio.to_thread(self._replace, self._asked, content())

    async def update(self, change: Callable[[bytes | None], bytes]) -> None:
        """Return when what ``change`` makes of the content (``None``: no file) is on disk; it runs in a thread.

        Raises ``UnavailableError``. A change whose caller was cancelled may be left out.
        """
        self._asked += 1
        mine = self._asked
        async with self._turn:
            await asyncio.to_thread(self._change, mine, change)

    async def remove(self) -> None:
        """Return when there is no such file any more. Raises ``UnavailableError``."""
        async with self._turn:
            await asyncio.to_thread(self._remove)

    def set_aside(self, why: str) -> None:
        """Keep a damaged file beside its place, as evidence; only the latest is kept."""
        aside = self.path.with_name(f"{self.path.name}.corrupt")
        self.path.replace(aside)
        log.error("state_file.corrupt", path=str(self.path), kept_as=str(aside), why=why)

    def _replace(self, version: int, content: bytes) -> None:
        # A cancelled caller leaves its thread behind: it must neither overlap with a later write nor undo it.
        with self._disk:
            if self._written < version:
                replace_durably(self.path, content)
                self._written = version

    def _change(self, version: int, change: Callable[[bytes | None], bytes]) -> None:
        with self._disk:
            if self._written < version:
                replace_durably(self.path, change(self._read()))
                self._written = version

    def _remove(self) -> None:
        with self._disk:
            try:
                self.path.unlink(missing_ok=True)
                sync_folder(self.path.parent)
            except OSError as error:
                raise UnavailableError(f"cannot remove {self.path}: {error.strerror}", fix=_fix(self.path)) from error

    def _read(self) -> bytes | None:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnavailableError(f"cannot read {self.path}: {error.strerror}", fix=_fix(self.path)) from error


def replace_durably(path: Path, content: bytes) -> None:
    """Put ``content`` in the place of ``path``, or raise ``UnavailableError`` and leave the old file as it is."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        try:
            write_new(temporary, content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}", fix=_fix(path)) from error


def write_new(path: Path, content: bytes) -> None:
    """Create ``path`` afresh, 0600, durably. A leftover of a crash is removed; links are not followed."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fix(path: Path) -> str:
    return f"check free space and permissions of {path.parent}"
