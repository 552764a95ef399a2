"""systemd's side of a service: readiness, watchdog and inherited sockets. A no-op outside systemd."""

from __future__ import annotations

import contextlib
import os
import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_FIRST_FD: Final = 3
_INHERITED: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


class Notifier:
    """Sends state lines to $NOTIFY_SOCKET; without one, or when systemd does not listen, nothing happens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *lines: str) -> None:
        """One datagram with the given lines, such as ``READY=1``."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.sendto("\n".join(lines).encode(), self._address)

    def ready(self, status: str) -> None:
        """The agent answers requests."""
        self.send("READY=1", f"STATUS={status}")

    def reloading(self, monotonic: float) -> None:
        """A reload has begun, at this CLOCK_MONOTONIC in seconds; ``ready`` ends it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={int(monotonic * 1_000_000)}")

    def stopping(self) -> None:
        """A graceful stop has begun."""
        self.send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self.send("WATCHDOG=1")


def watchdog_interval(environ: Mapping[str, str]) -> timedelta | None:
    """How often to feed the watchdog: half of WatchdogSec; ``None`` when it is off or meant for another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()) or not environ.get("WATCHDOG_USEC"):
        return None
    return timedelta(microseconds=int(environ["WATCHDOG_USEC"])) / 2


def inherited_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """The listening sockets systemd passed to this process; the variables are removed, lest children take them."""
    mine = environ.get("LISTEN_PID") == str(os.getpid())
    count = int(environ.get("LISTEN_FDS", "0")) if mine else 0
    for name in _INHERITED:
        environ.pop(name, None)
    return [_adopt(fd) for fd in range(_FIRST_FD, _FIRST_FD + count)]


def _adopt(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)  # noqa: FBT003 - its signature
    return socket.socket(fileno=fd)
