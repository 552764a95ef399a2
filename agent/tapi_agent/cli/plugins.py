"""tapi-agent plugins: what each registers, which are disabled and why, loading anew."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, table, warn
from tapi_agent.cli.plugins_check import check
from tapi_agent.cli.plugins_new import new
from tapi_agent.domain.errors import RejectedError

_KINDS: Final = ("features", "packs", "meters", "quotas", "jobs", "sinks")

app = typer.Typer(no_args_is_help=True)
app.command("new")(new)
app.command("check")(check)


@app.callback()
def plugins() -> None:
    """See the plugins of this agent, and load new ones."""


@app.command("list")
def list_plugins(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """List every plugin found, in the order of loading, and what is wrong with it."""
    with agent(socket) as client:
        document = client.plugins()
    show_json(document) if as_json else _show_all(document["plugins"])


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the plugin's entry point.")],
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one plugin: all that it adds, and how it stands."""
    with agent(socket) as client:
        found = [one for one in client.plugins()["plugins"] if one["name"] == name]
    if not found:
        raise RejectedError(f"there is no plugin {name}", code="plugin_unknown", fix="see: tapi-agent plugins list")
    if as_json:
        show_json(found[0])
        return
    for one in found:
        console.print(facts(_facts(one)))


@app.command()
def reload(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Load the plugins that were installed since, and try again those that are disabled."""
    with agent(socket) as client:
        document = client.reload_plugins()
    if as_json:
        show_json(document)
        return
    _show_all(document["plugins"])
    console.print(f"came: {safe(', '.join(document['came']))}" if document["came"] else "nothing new came")


def _show_all(reports: list[dict[str, Any]]) -> None:
    console.print(table(("PLUGIN", "VERSION", "STATE", "ADDS"), map(_row, reports)))
    for one in reports:
        for trouble in filter(None, (one["error"], one["pending"])):
            warn(f"{safe(one['name'])}: {safe(trouble)}")


def _row(plugin: dict[str, Any]) -> tuple[str, ...]:
    adds = ", ".join(f"{len(plugin[kind])} {kind}" for kind in _KINDS if plugin[kind])
    return safe(plugin["name"]), safe(plugin["version"]), _state(plugin), adds


def _state(plugin: dict[str, Any]) -> str:
    return "enabled" if plugin["enabled"] else "[red]disabled[/]"


def _facts(plugin: dict[str, Any]) -> dict[str, str]:
    """Names and markup; what is empty is left out."""
    first_party = " (first-party)" if plugin["first_party"] else ""
    shown = {
        "Plugin": safe(plugin["name"]),
        "Package": safe(f"{plugin['distribution']} {plugin['version']}{first_party}"),
        "State": _state(plugin),
        "Problem": safe(plugin["error"]),
        "Pending": safe(plugin["pending"]),
        "Failures": str(plugin["failures"] or ""),
        "Dropped": str(plugin["dropped"] or ""),
        "Behind": str(plugin["behind"] or ""),
        **{kind.capitalize(): safe(", ".join(plugin[kind])) for kind in (*_KINDS, "hooks")},
    }
    return {name: text for name, text in shown.items() if text}
