"""tapi-agent wait: until a camera or the device is in a state, for scripts. Asks the socket at a short interval."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import Annotated, Final

import typer

from tapi_agent.cli.common import SocketOption, agent
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, state
from tapi_agent.cli.simulate import span
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.license import LicenseState

_INTERVAL: Final = 0.2
"""Seconds between two looks."""


def _states(text: str) -> frozenset[str]:
    wanted = frozenset(text.split(","))
    if not wanted <= set(LicenseState):
        raise typer.BadParameter(f"states are {', '.join(LicenseState)}; several with commas between")
    return wanted


def wait(
    wanted: Annotated[frozenset[str], typer.Option("--for", parser=_states, metavar="STATE[,STATE]")],
    camera: Annotated[str | None, typer.Option("--camera", help="Default: the device.", show_default=False)] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="60s", help="Then exit 6, or 4 without an agent.")
    ] = "60s",
    socket: SocketOption = None,
) -> None:
    """Wait until a camera, or the device, is in one of these states."""
    deadline = time.monotonic() + span(timeout).total_seconds()
    seen = ""
    while True:
        try:
            found, missing = _look(socket, camera), None
        except UnavailableError as error:
            found, missing = "", error
        if found and found != seen:
            console.print(state(found))
        seen = found or seen
        if found in wanted:
            return
        if time.monotonic() >= deadline:
            raise missing or typer.Exit(Exit.TIMEOUT)
        Event().wait(_INTERVAL)


def _look(socket: Path | None, camera: str | None) -> str:
    with agent(socket) as client:
        return str(client.explain(camera)["state"] if camera else client.status()["state"])
