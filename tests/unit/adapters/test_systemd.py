from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from tapi_agent.adapters.systemd import Notifier, inherited_sockets, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest):
    with (
        tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        path = str(Path(folder) / "notify")
        address = path if request.param == "path" else f"@{path}"
        sock.bind(path if request.param == "path" else "\0" + path)
        sock.settimeout(5)
        yield sock, address


def test_notifier_speaks_the_protocol(listener) -> None:
    sock, address = listener
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready("valid")
    assert sock.recv(1000) == b"READY=1\nSTATUS=valid"
    notifier.alive()
    assert sock.recv(1000) == b"WATCHDOG=1"
    notifier.reloading(12.5)
    assert sock.recv(1000) == b"RELOADING=1\nMONOTONIC_USEC=12500000"
    notifier.stopping()
    assert sock.recv(1000) == b"STOPPING=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nonexistent/notify"}], ids=["unset", "nobody listens"])
def test_notifier_is_silent_without_systemd(environ: dict[str, str]) -> None:
    Notifier(environ).ready("valid")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=15)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], expected: timedelta | None) -> None:
    assert watchdog_interval(environ) == expected


def test_sockets_meant_for_another_process_are_not_taken() -> None:
    environ = {"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b"}
    assert inherited_sockets(environ) == []
    assert environ == {}


ADOPT = """
import os, socket
from tapi_agent.adapters.systemd import inherited_sockets
listener = socket.socket(socket.AF_UNIX)
os.dup2(listener.fileno(), 3)
(adopted,) = inherited_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
assert adopted.fileno() == 3 and adopted.family == socket.AF_UNIX and not adopted.get_inheritable()
"""


def test_an_inherited_socket_is_adopted() -> None:
    subprocess.run([sys.executable, "-c", ADOPT], check=True, timeout=30)
