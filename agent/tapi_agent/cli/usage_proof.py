"""tapi-agent usage verify, reconcile, held: is all of it there, does the service have it, what waits for a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.padding import Padding

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.exits import Exit
from tapi_agent.cli.output import console, facts, safe, show_json, table, warn
from tapi_agent.cli.progress import steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tapi_agent.client import AgentClient

_FATES: Final = (
    "synced",
    "pending",
    "sealed",
    "ambiguous",
    "local",
    "dead",
    "duplicate",
    "spooled",
    "forgotten",
    "lost",
)


def verify(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Prove that no usage is lost and none counts twice; exit code 1 when something is wrong."""
    with agent(socket) as client:
        proof = _verified(client)
    show_json(proof) if as_json else _show_proof(proof)
    raise typer.Exit(Exit.OK if proof["sound"] else Exit.DENIED)


def _verified(client: AgentClient) -> dict[str, Any]:
    outline = client.verify()
    findings, lines, rows, batches = list(outline["findings"]), [], 0, 0
    for day in steps("verifying", outline["days"]):
        proof = client.verify_day(day)
        findings += proof["findings"]
        lines += proof["lines"]
        rows += proof["rows"]
    for some in client.verify_batches():
        findings += some["findings"]
        batches += some["batches"]
    return {
        "schema": outline["schema"],
        "sound": not findings,
        "stream": outline["stream"],
        "rows": rows,
        "batches": batches,
        "findings": findings,
        "lines": lines,
    }


def _show_proof(proof: dict[str, Any]) -> None:
    used = [fate for fate in _FATES if any(fate in line["fates"] for line in proof["lines"])]
    columns = ["STREAM", "TENANT", "DAY", "METER", "ACCEPTED", *(fate.upper() for fate in used)]
    console.print(table(columns, [_cells(line, used) for line in proof["lines"]]))
    for finding in proof["findings"]:
        warn(safe(f"{finding['fault']}: {finding['subject']}: {finding['detail']} → {finding['fix']}"))
    looked_at = f"{proof['rows']} rows and {proof['batches']} batches were looked at"
    if proof["sound"]:
        console.print(f"sound: all that was accepted is accounted for; {looked_at}")
    else:
        console.print(f"[red]not sound[/]: {len(proof['findings'])} findings; {looked_at}")


def _cells(line: dict[str, Any], fates: Sequence[str]) -> list[str]:
    amounts = [line["accepted"], *(line["fates"].get(fate) for fate in fates)]
    return [
        safe(line["stream"][:8]),
        *(safe(line[name]) for name in ("tenant_id", "day", "meter")),
        *map(_amount, amounts),
    ]


def _amount(amount: dict[str, Any] | None) -> str:
    """How many, and the sum where it says more."""
    if not amount:
        return "-"
    events, quantity = str(amount["events"]), str(amount["quantity"])
    return safe(events if events == quantity else f"{events} ({quantity})")


def reconcile(
    batch: Annotated[str | None, typer.Argument(help="A held batch to decide about.")] = None,
    stored: Annotated[
        bool | None, typer.Option("--stored/--not-stored", help="Your word: the service has it, or has not.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why it is so; logged.")] = "",
    resend: Annotated[bool, typer.Option("--resend", help="Send again what a deduping service lacks.")] = False,
    every_id: Annotated[
        bool, typer.Option("--every-id", help="Look up every event, also where the totals are equal.")
    ] = False,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare with the billing service; or, given a BATCH, say what became of it. Exit code 1 when they differ."""
    if batch is None and (stored is not None or reason):
        raise typer.BadParameter("name the batch; tapi-agent usage held shows them", param_hint="BATCH")
    if batch is not None and (stored is None or not reason):
        raise typer.BadParameter("say --stored or --not-stored, and --reason TEXT", param_hint="BATCH")
    with agent(socket) as client:
        if batch is not None and stored is not None:
            _decide(client, batch, stored=stored, reason=reason, as_json=as_json)
            return
        days = [
            client.reconcile_day(day, resend=resend, every_id=every_id)
            for day in steps("comparing", client.reconcile()["days"])
        ]
    agrees = all(day["agrees"] for day in days)
    show_json({"schema": 1, "agrees": agrees, "days": days}) if as_json else _show_comparison(days, agrees=agrees)
    raise typer.Exit(Exit.OK if agrees else Exit.DENIED)


def _decide(client: AgentClient, batch: str, *, stored: bool, reason: str, as_json: bool) -> None:
    decided = client.decide(batch, stored=stored, reason=reason)
    became = "settled as stored" if stored else "to be sent again"
    show_json(decided) if as_json else console.print(f"{decided['events']} events: {became}")


def _show_comparison(days: Iterable[dict[str, Any]], *, agrees: bool) -> None:
    lines = [(day["day"], line) for day in days for line in day["lines"]]
    columns = ["DAY", "TENANT", "METER", "OURS", "IN DOUBT", "THEIRS", "DIFFERENCE", ""]
    console.print(table(columns, [_compared(day, line) for day, line in lines]))
    for day, line in lines:
        for sentence in _sentences(line["identified"] or {}):
            warn(safe(f"{day} {line['meter']} of {line['tenant_id']}: {sentence}"))
    console.print("ours and theirs agree" if agrees else "[red]ours and theirs differ[/]")


def _compared(day: str, line: dict[str, Any]) -> list[str]:
    theirs = line["theirs"]
    told = "not told" if theirs["quantity"] is None else safe(theirs["quantity"])
    if theirs["events"] is not None:
        told = _amount(theirs)
    names = [day, line["tenant_id"], line["meter"]]
    verdict = "ok" if line["agrees"] else "[red]differs[/]"
    return [
        *map(safe, names),
        _amount(line["ours"]),
        _amount(line["in_doubt"]),
        told,
        safe(line["difference"]),
        verdict,
    ]


def _sentences(found: dict[str, Any]) -> Iterable[str]:
    if found.get("missing"):
        sent = f"{found['resent']} sent again" if found["resent"] else "--resend sends them again"
        yield f"{found['missing']} delivered events are missing there, {_some(found['missing_ids'])} → {sent}"
    if found.get("extra"):
        yield f"{found['extra']} dead letters are billed there, {_some(found['extra_ids'])} → tell the service"
    if (nameless := found.get("nameless", 0)) > 0:
        yield f"{nameless} events are there that this database does not know → another box or database delivered them"
    if nameless < 0:
        yield f"{-nameless} events that are no longer kept here are missing there → tell the service"


def _some(ids: Sequence[str]) -> str:
    return f"such as {', '.join(ids[:3])}" if len(ids) > 3 else ", ".join(ids)  # noqa: PLR2004 - fit on a line


def held(socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Show batches that wait for a word: ambiguous ones, and those of which each event was refused alone."""
    with agent(socket) as client:
        document = client.held()
    show_json(document) if as_json else _show_held(document["batches"])


def _show_held(batches: Sequence[dict[str, Any]]) -> None:
    if not batches:
        console.print("no batch waits for a word")
    for batch in batches:
        console.print(f"[bold]{safe(batch['batch_id'])}[/]")
        console.print(Padding(facts(_held_facts(batch)), (0, 0, 1, 2)))
    if any(batch["ambiguous"] for batch in batches):
        warn(
            "ask the operators of the service, then: tapi-agent usage reconcile BATCH --stored (or --not-stored) "
            "--reason TEXT"
        )


def _held_facts(batch: dict[str, Any]) -> dict[str, str]:
    meters = ", ".join(f"{meter} {events}" for meter, events in batch["meters"].items())
    asks = "asks the service again" if batch["ambiguous"] else "tries again"
    first, last, since, then = (
        batch[name][:19] for name in ("first_event_at", "last_event_at", "since", "next_attempt_at")
    )
    told = {
        "events": f"{batch['events']}: {meters}",
        "recorded": f"{first} to {last}",
        "waits": f"since {since}",
        "next": f"{asks} at {then}",
        "why": batch["why"],
    }
    return {name: safe(text) for name, text in told.items()}
