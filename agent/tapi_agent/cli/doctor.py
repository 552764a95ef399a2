"""tapi-agent doctor: what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, safe, show_json, table

_COLUMNS: Final = ("", "WHERE", "WHAT", "FINDING")


def doctor(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Examine the agent and every plugin; exit code 1 when something is not well."""
    with agent(socket) as client:
        document = client.doctor()
    show_json(document) if as_json else console.print(table(_COLUMNS, map(_row, document["findings"])))
    if not document["healthy"]:
        raise typer.Exit(Exit.DENIED)


def _row(finding: dict[str, Any]) -> tuple[str, ...]:
    healthy = finding["healthy"]
    remedy = f"\n→ {finding['fix']}" if finding["fix"] and not healthy else ""
    mark = "[green]ok[/]" if healthy else "[red]bad[/]"
    return mark, safe(finding["source"]), safe(finding["name"]), safe(f"{finding['detail']}{remedy}")
