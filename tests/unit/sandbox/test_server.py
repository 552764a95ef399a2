"""The sandbox's socket."""

from __future__ import annotations

import socket
from contextlib import closing

from tapi_agent.sandbox.server import _listen


def test_a_reply_does_not_wait_for_a_delayed_acknowledgment() -> None:
    with closing(_listen("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
