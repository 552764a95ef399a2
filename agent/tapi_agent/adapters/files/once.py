"""What is made once and kept for ever: the device key, a generated device id. Read before the agent runs."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.adapters.files.durable import sync_folder, write_new
from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = structlog.get_logger(__name__)

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def keep_first(path: Path, make: Callable[[], bytes]) -> bytes:
    """The content of ``path``, which ``make()`` gives the first time; 0600. Raises ``ConfigurationError``.

    The name appears only once the content is on disk, and of two processes that create it one wins.
    """
    try:
        if not path.exists():
            _create(path, make())
        return _read(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read or create {path}: {error.strerror}",
            fix="let the agent's user own its state directory, or restore the file from the backup",
        ) from error


def _create(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write_new(temporary, content)
    try:
        path.hardlink_to(temporary)  # unlike a rename, never replaces
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    sync_folder(path.parent)


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        if os.fstat(file.fileno()).st_mode & _OTHERS:
            os.fchmod(file.fileno(), 0o600)
            log.warning("secret_file.tightened", path=str(path), fix="find out who could read it; mode is 0600 again")
        return file.read()
