"""Which level a route needs, and the refusal that says how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.params import Depends

from tapi_agent.api.peer import Level, Peer
from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tapi_agent.api.context import Context


def context_of(request: Request) -> Context:
    """The agent behind this request."""
    context: Context = request.app.state.context
    return context


def needs(level: Level) -> Depends:
    """A route dependency that refuses peers below ``level``."""
    return Depends(_demand(level))


def _demand(level: Level) -> Callable[[Request], Awaitable[None]]:
    async def demand(request: Request) -> None:
        peer: Peer = request.state.peer
        table = context_of(request).levels
        if table.level(peer) < level:
            call = f"{request.method} {request.scope['path']}"
            raise _forbidden(call, peer, held=table.level(peer), needed=level, group=table.group_for(level))

    return demand


def _forbidden(call: str, peer: Peer, *, held: Level, needed: Level, group: str | None) -> RejectedError:
    join = f"sudo groupadd -f {group} && sudo usermod -aG {group} {peer.user}"
    return RejectedError(
        f"{call} needs level {needed.name.lower()}; you are {peer.user} with level {held.name.lower()}",
        code="forbidden",
        fix=f"run: {join}, then log in again" if group else "run the command as root",
    )
