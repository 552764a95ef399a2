"""tapi-agent status: how this box stands, for a tired operator: what is wrong, since when, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.table import Table

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, state
from tapi_agent.cli.text import ahead, moment, since

_STATES: Final = ("valid", "offline", "grace", "expired")
_LINKS: Final = {True: "[green]up[/]", False: "[red]down[/]", None: "not tried yet"}
_BACKLOG: Final = {
    "spooled": "spooled",
    "pending": "pending",
    "sealed": "sealed",
    "ambiguous": "ambiguous",
    "dead": "dead letters",
}


def status(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Show how this box stands: license state and why, what comes next, dependencies, usage backlog."""
    with agent(socket) as client:
        document = client.status()
    if as_json:
        show_json(document)
    else:
        show(document)


def show(document: dict[str, Any]) -> None:
    """The status as a page of at most 80 columns."""
    now = document["clock"]["trusted_now"]
    console.print(
        facts(
            {
                "License": _license(document, now),
                "Next": _next(document["next_transition"], now),
                "Cameras": _cameras(document["cameras"]),
                "Usage": _usage(document["usage"]),
                "Clock": _clock(document["clock"]),
                "Device": f"{safe(document['device_id'])}, tenant {safe(document['tenant_id']) or '-'}",
                "Agent": f"{safe(document['version'])}, {_plugins(document['plugins'])}",
            }
        )
    )
    console.print()
    console.print(_links(document["dependencies"], now))
    troubles = list(_troubles(document))
    if troubles:
        console.print()
    for trouble in troubles:
        console.print(facts({"[yellow]![/]": trouble}))


def _license(document: dict[str, Any], now: str) -> str:
    flags = "".join(f", {safe(flag)}" for flag in document["flags"])
    return f"{state(document['state'])} ({safe(document['reason'])}{flags}) since {since(document['since'], now)}"


def _next(transition: dict[str, Any] | None, now: str) -> str:
    if transition is None:
        return "nothing expected"
    return (
        f"{state(transition['to'])} ({safe(transition['reason'])}) on {ahead(transition['at'], now)} "
        "unless the billing service answers"
    )


def _cameras(counts: dict[str, int]) -> str:
    if not counts["total"]:
        return "none registered: a camera registers when it is first validated"
    return f"{counts['total']}: " + ", ".join(f"{counts[name]} {state(name)}" for name in _STATES if counts[name])


def _usage(usage: dict[str, Any]) -> str:
    counts = [f"{usage[name]} {words}" for name, words in _BACKLOG.items() if usage[name]]
    unknown = "the rest is unknown while PostgreSQL is down" if usage["pending"] is None else ""
    return "; ".join(filter(None, (", ".join(counts), unknown))) or "all delivered"


def _clock(clock: dict[str, Any]) -> str:
    flags = "".join(f", [yellow]{safe(flag)}[/]" for flag in clock["flags"])
    return f"{moment(clock['trusted_now'])}, {'confirmed' if clock['confirmed'] else 'not confirmed'}{flags}"


def _plugins(plugins: list[dict[str, Any]]) -> str:
    disabled = sum(not plugin["enabled"] for plugin in plugins)
    return f"{len(plugins)} plugins" + (
        f", [yellow]{disabled} disabled[/] (tapi-agent plugins list)" if disabled else ""
    )


def _links(dependencies: list[dict[str, Any]], now: str) -> Table:
    """One line for each dependency, and below those that are down why, and what to do."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(no_wrap=True)
    shown.add_column()
    shown.add_row("[bold]LINK[/]", "[bold]STATE[/]", "[bold]SINCE[/]")
    for one in dependencies:
        shown.add_row(safe(one["name"]), _LINKS[one["up"]], since(one["since"], now))
        for line in filter(None, (one["detail"], one["fix"] and f"→ {one['fix']}")):
            shown.add_row("", "", safe(line))
    return shown


def _troubles(document: dict[str, Any]) -> Iterator[str]:
    paused = document["usage"]["paused"]
    if paused:
        yield f"no usage is sent: {safe(paused['reason'])}, {safe(paused['detail'])} → {safe(paused['fix'])}"
    yield from map(safe, document["problems"])
