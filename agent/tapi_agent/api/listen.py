"""The agent's listening sockets: a Unix socket that is never open wider than 0660, and optional loopback TCP."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

MODE: Final = 0o660
_BACKLOG: Final = 512
_LONGEST_PATH: Final = 100
"""sockaddr_un holds 108 bytes; the temporary name needs eight of them."""


def bind_unix(path: Path, *, group: str | None) -> socket.socket:
    """Listen on ``path`` with mode 0660, group ``group`` where that exists and we may give it.

    Bound under a temporary name, restricted, then renamed, so that nobody ever sees a wider socket and a stale one is
    replaced. Raises ``ConfigurationError`` when another agent answers there or the path cannot be used.
    """
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ConfigurationError(
            f"TAPI_SOCKET {path} is longer than {_LONGEST_PATH} bytes",
            fix="choose a shorter path, such as /run/tapi-agent/agent.sock",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _refuse_if_answering(path)
        return _bind_and_rename(path, group)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {path}: {error.strerror}",
            fix="give the agent's user write access there or set TAPI_SOCKET",
        ) from error


def _refuse_if_answering(path: Path) -> None:
    if path.exists() and not path.is_socket():
        raise ConfigurationError(f"{path} is there and is no socket", fix="remove it, or set another TAPI_SOCKET")
    with socket.socket(socket.AF_UNIX) as probe:
        result = probe.connect_ex(str(path))
    if result == 0:
        raise ConfigurationError(
            f"another agent already answers on {path}", fix="stop it first, or set another TAPI_SOCKET"
        )
    if result not in {errno.ENOENT, errno.ECONNREFUSED}:
        raise OSError(result, os.strerror(result))


def _bind_and_rename(path: Path, group: str | None) -> socket.socket:
    temporary = path.parent / f".{os.getpid()}"
    temporary.unlink(missing_ok=True)
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX))
        _bind_masked(listener, temporary)
        _hand_to_group(temporary, group)
        listener.listen(_BACKLOG)
        temporary.rename(path)
        undo.pop_all()
    return listener


def _bind_masked(listener: socket.socket, path: Path) -> None:
    old_mask = os.umask(0o777 - MODE)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)


def _hand_to_group(path: Path, group: str | None) -> None:
    with contextlib.suppress(KeyError, PermissionError):
        if group:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)


def bind_tcp(port: int) -> socket.socket:
    """Listen on loopback; raises ``OSError`` when the port is taken, which the caller reports as degraded.

    asyncio turns off the delay of small replies (40 ms each) only on sockets that name TCP as their protocol.
    """
    with contextlib.ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
        undo.pop_all()
    return listener
