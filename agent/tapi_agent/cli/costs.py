"""tapi-agent costs: what a month is expected to cost, by the price list."""

from __future__ import annotations

from typing import Any

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, safe, show_json, table


def costs(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Estimate a month's costs: this box's cameras, the tenant's packs, and this month's overage so far."""
    with agent(socket) as client:
        document = client.costs()
    show_json(document) if as_json else show(document)


def show(document: dict[str, Any]) -> None:
    """Print a reply of ``GET /api/v1/costs``."""
    if not document["lines"]:
        console.print("nothing that costs: no camera of this box has a paid license in force")
        return
    rows = [*map(_row, document["lines"]), ("[bold]total[/]", "", f"[bold]{safe(document['total'])}[/]")]
    console.print(table(("ITEM", "QUANTITY", "A MONTH"), rows))
    console.print("An estimate by the price list; what is billed is decided by the billing service.")


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    return safe(line["item"]), safe(line["quantity"]), safe(line["amount"] or "quoted individually")
