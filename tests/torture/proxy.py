"""What stands between an agent and its service: it passes requests on, or refuses a batch for what is in it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOP: Final = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
_PATIENCE: Final = 30.0


class Proxy(ThreadingHTTPServer):
    """In front of the service at ``service``. ``refuse`` gives the status for a batch with this body; 0: passed on."""

    daemon_threads = True

    def __init__(self, service: str, refuse: Callable[[bytes], int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = urlsplit(service)
        self.refuse = refuse

    @property
    def url(self) -> str:
        """What to give an agent."""
        return f"http://127.0.0.1:{self.server_port}"

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error."""


@contextmanager
def proxied(service: str, refuse: Callable[[bytes], int]) -> Iterator[Proxy]:
    """A proxy while the block lasts."""
    with Proxy(service, refuse) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self._pass_on(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.refuse(body) if self.path.endswith("/usage/batch") else 0
        if status:
            self._answer(status, "text/plain", b"refused")
        else:
            self._pass_on(body)

    def _pass_on(self, body: bytes) -> None:
        host, port = self.server.service.hostname, self.server.service.port
        service = HTTPConnection(host or "", port, timeout=_PATIENCE)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        try:
            service.request(self.command, self.path, body=body or None, headers=headers)
            reply = service.getresponse()
            self._answer(reply.status, reply.headers.get_content_type(), reply.read())
        finally:
            service.close()

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """The oracle knows better."""
