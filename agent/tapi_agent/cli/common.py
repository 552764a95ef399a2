"""What every asking command shares: the socket option, the --json option, a connected client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from tapi_agent.client import AgentClient
from tapi_agent.domain.errors import ConfigurationError

SocketOption = Annotated[
    Path | None, typer.Option("--socket", envvar="TAPI_SOCKET", help="The agent's Unix socket.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the agent's reply as JSON.")]
SYSTEM_SOCKET: Final = Path("/run/tapi-agent/agent.sock")


def instant(text: str) -> datetime:
    """An ISO 8601 time of the command line; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no ISO 8601 time, such as 2027-03-01T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@contextlib.contextmanager
def agent(socket: Path | None) -> Iterator[AgentClient]:
    """A client of the agent at ``socket``, or where one is to be expected."""
    with AgentClient(socket or expected_socket()) as client:
        yield client


def expected_socket() -> Path:
    """Where the settings say; the system's, when nothing is there or the settings are not for us to read."""
    from tapi_agent.settings import load  # noqa: PLC0415 - costs more than all the rest, and --socket spares it

    try:
        configured = load().tapi_socket
    except ConfigurationError:
        if _is_there(SYSTEM_SOCKET):
            return SYSTEM_SOCKET
        raise
    return SYSTEM_SOCKET if _is_there(SYSTEM_SOCKET) and not _is_there(configured) else configured


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # connecting will tell what is missing
