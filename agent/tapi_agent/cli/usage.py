"""tapi-agent usage: record one event, see what was counted, send the backlog now; the rest is in the neighbors."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent, instant
from tapi_agent.cli.dead_letters import dead_letters, replay
from tapi_agent.cli.output import console, safe, show_json, table, warn
from tapi_agent.cli.progress import draining
from tapi_agent.cli.usage_proof import held, reconcile, verify

if TYPE_CHECKING:
    from tapi_agent.client import AgentClient

app = typer.Typer(no_args_is_help=True, help="Record and follow metered usage.")

for _command in (verify, reconcile, held, replay):
    app.command()(_command)
app.command("dead-letters")(dead_letters)

_COLUMNS: Final = ("day", "meter", "events", "quantity", "unit")


@app.command()
def record(
    meter: Annotated[str, typer.Argument(help="Meter, such as api_call or llm_tokens.")],
    quantity: Annotated[str, typer.Argument(help="Exact decimal, in the meter's unit.")] = "1",
    camera: Annotated[str | None, typer.Option("--camera", help="Camera the usage belongs to.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Tenant; default: TENANT_ID.")] = None,
    resource: Annotated[
        str | None, typer.Option("--resource", help="Resource id, such as an endpoint or model.")
    ] = None,
    key: Annotated[str | None, typer.Option("--dedupe-key", help="Your own idempotency key; needs --at.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", parser=instant, metavar="TIME", help="When it happened, ISO 8601, UTC; default: now."),
    ] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record one event; it is durable when the command returns."""
    if key and not at:
        raise typer.BadParameter("needs --at: the same event must have the same time", param_hint="--dedupe-key")
    with agent(socket) as client:
        recorded = client.record(
            meter, quantity, dedupe_key=key, event_time=at, camera_id=camera, tenant_id=tenant, resource_id=resource
        )
    show_json(recorded) if as_json else console.print(f"recorded {safe(recorded['event_id'])}")


@app.command()
def summary(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant.")] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show counted usage by tenant, day and meter."""
    with agent(socket) as client:
        document = client.summary(tenant)
    show_json(document) if as_json else _show_summary(document)


def _show_summary(document: dict[str, Any]) -> None:
    rows = sorted(document["rows"], key=lambda row: (row["tenant_id"], row["day"], row["meter"]))
    for tenant, own in groupby(rows, key=lambda row: row["tenant_id"]):
        console.print(f"tenant {safe(tenant)}", style="bold")
        cells = ([safe(row[name]) for name in _COLUMNS] for row in own)
        console.print(table([name.upper() for name in _COLUMNS], cells))
    if not rows:
        console.print("nothing was recorded")
    if not document["complete"]:
        warn("PostgreSQL is down: only what is still spooled is shown")


@app.command()
def flush(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Send everything that waits, now."""
    with agent(socket) as client:
        report = draining("sending", client.flush, lambda: _waiting(client))
    show_json(report) if as_json else _show_report(report)


def _waiting(client: AgentClient) -> int:
    """Events that are not at the service, as far as is known: PostgreSQL may be down."""
    usage = client.status()["usage"]
    return sum(usage[stretch] or 0 for stretch in ("spooled", "pending", "sealed"))


def _show_report(report: dict[str, Any]) -> None:
    console.print(
        f"batches sent: {report['batches']}; events billed: {report['synced']}, "
        f"dead letters: {report['dead']}, in doubt: {report['ambiguous']}"
    )
    if report["trouble"]:
        warn(safe(report["trouble"]))
    if paused := report["paused"]:
        warn(safe(f"{paused['reason']}, {paused['detail']} → {paused['fix']}"))
