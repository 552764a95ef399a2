"""The sandbox as a running program: its socket, signals and first tenant. The CLI and ``__main__`` call ``run``."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import uvicorn
from typing_extensions import override

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.domain.license import LicenseMode
from tapi_agent.sandbox import keys, subscriptions, terms, times
from tapi_agent.sandbox.app import build_app
from tapi_agent.sandbox.fault_plan import FaultPlan
from tapi_agent.sandbox.handshake import ADMIN_TOKEN, API_KEY, READY
from tapi_agent.sandbox.interference import CuttableProtocol
from tapi_agent.sandbox.ledger import Ledger
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF, Subscription
from tapi_agent.sandbox.terms import LeaseTerms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

_FIRST_TERM: Final = timedelta(days=365)
_BACKLOG: Final = 512
_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than clients keep a connection, so that none is closed under a request that is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTenant:
    """A tenant that is there from the start: with a base subscription for a year and any number of cameras.

    ``api_key`` speaks for it; ``signed`` has it answered with leases. What it has from an earlier run, it keeps.
    """

    tenant_id: str
    api_key: str = field(repr=False)
    signed: bool = False


def run(
    *, host: str = "127.0.0.1", port: int = 8081, state: Path, admin_token: str, tenant: FirstTenant | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. Port 0 chooses a free one; a line on stdout says where, once it can be asked.

    Without a ``tenant``, all of them and their keys come from the admin. ``ConfigurationError`` when ``state`` or the
    address cannot be used, or a secret is empty.
    """
    if not admin_token or (tenant and not tenant.api_key):
        fix = f"choose one of your own ({API_KEY}, {ADMIN_TOKEN})"
        raise ConfigurationError("the sandbox needs an API key and an admin token that are not empty", fix=fix)
    with closing(Ledger(state)) as ledger, closing(_listen(host, port)) as listener:
        asyncio.run(_serve(ledger, listener, admin_token=admin_token, tenant=tenant))


async def _serve(ledger: Ledger, listener: socket.socket, *, admin_token: str, tenant: FirstTenant | None) -> None:
    await ledger.write(keys.ensure)
    if tenant is not None:
        await ledger.write(_ensure_tenant, tenant, _wall_clock())
        if tenant.signed:
            sys.stdout.write(f"TRUSTED_KEYS={keys.trusted_keys(await ledger.read(keys.published))}\n")
    plan = FaultPlan()
    app = build_app(ledger=ledger, plan=plan, now=_wall_clock, admin_token=admin_token)
    await _Server(app, plan).serve(sockets=[listener])


def _ensure_tenant(db: sqlite3.Connection, tenant: FirstTenant, now: datetime) -> None:
    known = subscriptions.tenant_exists(db, tenant.tenant_id)
    subscriptions.add_tenant(db, tenant.tenant_id, tenant.api_key)
    if not known:
        first = Subscription(mode=LicenseMode.BASE, valid_until=times.render(now + _FIRST_TERM))
        subscriptions.subscribe(db, tenant.tenant_id, TENANT_ITSELF, first)
    if tenant.signed and terms.agreed(db, tenant.tenant_id) is None:
        terms.agree(db, tenant.tenant_id, LeaseTerms())


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}", fix="choose another --port; 0 takes a free one"
        ) from error
    # asyncio sets it on sockets of its own making only; without it each reply waits 40 ms for a delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _wall_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a program of its own: the daemon's Clock is not for it


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApp, plan: FaultPlan) -> None:
        self._plan = plan
        super().__init__(
            uvicorn.Config(
                app,
                http=cast("Any", CuttableProtocol),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=3,
            )
        )

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            sys.stdout.write(f"{READY}http://{host}:{port}\n")
        sys.stdout.flush()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._plan.clear()  # delayed requests would hold up the end
        await super().shutdown(sockets)

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's, which raises the signal again at the end: who stops when told to has not failed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
