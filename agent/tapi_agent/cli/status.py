"""tapi-agent status: how this box stands, for a tired operator: what is wrong, since when, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, state, warn
from tapi_agent.cli.text import ahead, moment, since

_STATES: Final = ("valid", "offline", "grace", "expired")
_LINKS: Final = {True: "[green]up[/]", False: "[red]down[/]", None: "not tried yet"}
_BACKLOG: Final = {
    "spooled": "spooled",
    "pending": "pending",
    "sealed": "sealed",
    "ambiguous": "ambiguous",
    "held": "set aside",
    "dead": "dead letters",
}


_MIB: Final = 1024**2
_ROOMS: Final = {
    "plenty": "",
    "shed": ", [yellow]little: delivered usage goes early[/]",
    "slow": ", [yellow]very little: recording is slowed down[/]",
    "full": ", [red]full: new usage is refused[/]",
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
                "Disk": _disk(document["space"]),
                "Clock": _clock(document["clock"]),
                "Device": f"{safe(document['device_id'])}, tenant {safe(document['tenant_id']) or '-'}",
                "Agent": f"{safe(document['version'])}, {_plugins(document['plugins'])}",
            }
        )
    )
    console.print()
    console.print(facts({safe(one["name"]): _link(one, now) for one in document["dependencies"]}))
    troubles = list(_troubles(document))
    if troubles:
        console.print()
    for trouble in troubles:
        warn(trouble)


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
    # an agent that was not restarted after an upgrade may know fewer
    counts = [f"{usage[name]} {words}" for name, words in _BACKLOG.items() if usage.get(name)]
    unknown = "the rest is unknown while PostgreSQL is down" if usage["pending"] is None else ""
    return "; ".join(filter(None, (", ".join(counts), unknown))) or "all delivered"


def _disk(space: dict[str, Any]) -> str:
    free = "not known yet" if space["free_bytes"] is None else f"{space['free_bytes'] // _MIB} MiB free"
    return f"{free}{_ROOMS[space['room']]}"


def _clock(clock: dict[str, Any]) -> str:
    flags = "".join(f", [yellow]{safe(flag)}[/]" for flag in clock["flags"])
    return f"{moment(clock['trusted_now'])}, {'confirmed' if clock['confirmed'] else 'not confirmed'}{flags}"


def _plugins(plugins: list[dict[str, Any]]) -> str:
    disabled = sum(not plugin["enabled"] for plugin in plugins)
    remark = f", [yellow]{disabled} disabled[/] (tapi-agent plugins list)" if disabled else ""
    return f"plugins: {len(plugins)}{remark}"


def _link(one: dict[str, Any], now: str) -> str:
    """Up or down since when, and when it is down why, and what to do."""
    told = f"{_LINKS[one['up']]} since {since(one['since'], now)}" if one["since"] else _LINKS[one["up"]]
    return "\n".join([told, *(safe(line) for line in (one["detail"], one["fix"] and f"→ {one['fix']}") if line)])


def _troubles(document: dict[str, Any]) -> Iterator[str]:
    paused = document["usage"]["paused"]
    if paused:
        yield f"no usage is sent: {safe(paused['reason'])}, {safe(paused['detail'])} → {safe(paused['fix'])}"
    for loss in document["losses"]:
        what = f"{loss['events']} events of {loss['meter'] or 'unknown meters'}, quantity {loss['quantity']}"
        yield f"usage {safe(loss['kind'])}: {safe(what)} → tapi-agent doctor"
    yield from map(safe, document["problems"])
