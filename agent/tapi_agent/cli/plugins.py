"""tapi-agent plugins: what each registers, which are disabled and why."""

from __future__ import annotations

from typing import Any

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, safe, show_json, table, warn

app = typer.Typer(no_args_is_help=True)


@app.callback()
def plugins() -> None:
    """See the plugins of this agent."""


@app.command("list")
def list_plugins(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """List every plugin found, in the order of loading, and what is wrong with it."""
    with agent(socket) as client:
        document = client.plugins()
    if as_json:
        show_json(document)
        return
    console.print(table(("PLUGIN", "VERSION", "STATE", "ADDS"), map(_row, document["plugins"])))
    for plugin in document["plugins"]:
        if plugin["error"]:
            warn(f"{safe(plugin['name'])}: {safe(plugin['error'])}")


def _row(plugin: dict[str, Any]) -> tuple[str, ...]:
    adds = ", ".join(f"{len(plugin[kind])} {kind}" for kind in ("features", "packs", "meters") if plugin[kind])
    return safe(plugin["name"]), safe(plugin["version"]), "enabled" if plugin["enabled"] else "[red]disabled[/]", adds
