"""tapi-agent license history: the changes of state, newest first. ``cli.license`` registers it."""

from __future__ import annotations

from typing import Annotated

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, safe, show_json, state, table
from tapi_agent.cli.text import moment


def history(
    camera: Annotated[str | None, typer.Option("--camera", help="Default: all cameras.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 20,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show when each license changed its state, from what to what, and why."""
    with agent(socket) as client:
        document = client.license_history(camera, limit=limit)
    if as_json:
        show_json(document)
        return
    rows = (
        (
            moment(one["at"]),
            safe(one["camera_id"]),
            f"{state(one['old'])} → {state(one['new'])}",
            safe(one["reason"]),
        )
        for one in document["edges"]
    )
    console.print(table(("WHEN", "CAMERA", "CHANGE", "REASON"), rows))
