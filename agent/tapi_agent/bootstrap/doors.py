"""Where the agent listens: the Unix socket, systemd's or our own, and a TCP port where the settings ask for one."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tapi_agent.adapters.files import keep_first
from tapi_agent.adapters.systemd import inherited_sockets
from tapi_agent.api.listen import bind_tcp, bind_unix

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from tapi_agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where the agent listens, the token of the TCP door, and what went wrong with that: it degrades, no more."""

    sockets: Sequence[socket.socket]
    token: str | None = None
    troubles: Sequence[str] = ()


def doors(settings: Settings) -> Doors:
    """Open them. Raises ``ConfigurationError`` when the Unix socket cannot be had."""
    local = inherited_sockets(os.environ) or [bind_unix(settings.tapi_socket, group=settings.tapi_socket_group)]
    if settings.api_port is None:
        return Doors(sockets=local)
    token = keep_first(settings.tapi_state_dir / "api-token", lambda: secrets.token_urlsafe(32).encode()).decode()
    try:
        return Doors(sockets=[*local, bind_tcp(settings.api_port)], token=token)
    except OSError as error:
        trouble = f"API_PORT {settings.api_port} is not served ({error.strerror}): free it or choose another"
        return Doors(sockets=local, troubles=[trouble])
