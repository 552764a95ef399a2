"""tapi-agent check and entitlements: may a feature be used, and why."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, safe, show_json, table, warn


def check(
    feature: Annotated[str, typer.Argument(help="Feature key, such as analytics.heatmap.")],
    camera: Annotated[
        str | None, typer.Option("--camera", help="Camera id; without it the tenant is asked for.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing: the exit code is the answer.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 when allowed only in grace.")] = False,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask whether a feature may be used: exit 0 allowed, 1 denied."""
    with agent(socket) as client:
        decision = client.check(feature, camera)
    if as_json:
        show_json(decision)
    elif not quiet:
        _show(decision)
    sys.exit(_exit(decision, strict=strict))


def _show(decision: dict[str, Any]) -> None:
    console.print(f"{safe(decision['feature'])}: {_verdict(decision)} ({safe(decision['reason'])})", soft_wrap=True)
    for note in filter(None, (decision["warning"], decision["fix"])):
        console.print(f"  → {safe(note)}", soft_wrap=True)


def _verdict(decision: dict[str, Any]) -> str:
    return "[green]allowed[/]" if decision["allowed"] else "[red]denied[/]"


def _exit(decision: dict[str, Any], *, strict: bool) -> Exit:
    if not decision["allowed"]:
        return Exit.DENIED
    return Exit.GRACE if strict and decision["state"] == "grace" else Exit.OK


def entitlements(
    camera: Annotated[str | None, typer.Option("--camera", help="Camera id; without it the tenant's.")] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List every feature and whether it is allowed."""
    with agent(socket) as client:
        document = client.entitlements(camera)
    if as_json:
        show_json(document)
        return
    decisions = document["features"]
    rows = (
        (safe(one["feature"]), _verdict(one), safe(one["reason"]), safe(", ".join(one["packs"]))) for one in decisions
    )
    console.print(table(("FEATURE", "VERDICT", "REASON", "PACK THAT BRINGS IT"), rows))
    for warning in dict.fromkeys(one["warning"] for one in decisions if one["warning"]):
        warn(safe(warning))
