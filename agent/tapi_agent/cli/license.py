"""tapi-agent license: how each camera is licensed, a fresh word now, and leases carried by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.license_history import history
from tapi_agent.cli.license_inspect import inspect
from tapi_agent.cli.output import console, facts, safe, show_json, state, table, warn
from tapi_agent.cli.text import moment
from tapi_agent.domain.errors import RejectedError

app = typer.Typer(no_args_is_help=True, help="See licenses, ask for them now, and carry them by hand.")

app.command()(history)
app.command()(inspect)

_COLUMNS: Final = ("CAMERA", "STATE", "MODE", "UNTIL", "VERIFIED", "TIER", "KEY", "NEXT")
_LONGEST_WAIT: Final = 5.0


@app.command()
def show(
    camera: Annotated[str | None, typer.Option("--camera", help="Only this camera, in full.")] = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every camera's license: state and why, mode, end, when and from where it was verified, what comes next."""
    with agent(socket) as client:
        document = client.license_status()
    if camera is not None:
        document = _of(camera, document["licenses"])
    if as_json:
        show_json(document)
    elif camera is not None:
        console.print(facts(_page(document)))
    else:
        _show(document)


def _of(camera: str, licenses: list[dict[str, Any]]) -> dict[str, Any]:
    for one in licenses:
        if one["camera_id"] == camera:
            return one
    raise RejectedError(
        f"camera {camera!r} is not one of this device",
        code="camera_unknown",
        fix="tapi-agent license show lists those that are",
    )


def _show(document: dict[str, Any]) -> None:
    if document["licenses"]:
        console.print(table(_COLUMNS, map(_row, document["licenses"])))
    else:
        console.print(f"no cameras; the tenant itself: {_standing(document)}")
    for trouble in _troubles(document):
        warn(trouble)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    day, minute = (len("2027-03-01"), len("2027-03-01 12:00"))
    return (
        safe(one["camera_id"]),
        _standing(one),
        safe(one["mode"]) or "-",
        moment(one["valid_until"])[:day],
        moment(one["verified_at"])[:minute],
        safe(one["tier"]) or "-",
        _key(one),
        _next(one["next_transition"]),
    )


def _page(one: dict[str, Any]) -> dict[str, str]:
    allowed = one["cameras_allowed"]
    return {
        "Camera": safe(one["camera_id"]),
        "State": f"{_standing(one)} since {moment(one['since'])}",
        "Next": _next(one["next_transition"]),
        "Mode": f"{safe(one['mode']) or '-'}, status {safe(one['status']) or '-'}",
        "Packs": ", ".join(map(safe, one["packs"])) or "-",
        "Begins": moment(one["not_before"]),
        "Ends": moment(one["valid_until"]),
        "Cameras": "unlimited" if allowed is None else str(allowed),
        "Verified": f"{moment(one['verified_at'])}, from {safe(one['tier']) or '-'}",
        "Key": f"{_key(one)}, sequence {one['sequence'] if one['sequence'] is not None else '-'}",
        "Problem": safe(one["problem"]) or "-",
    }


def _standing(one: dict[str, Any]) -> str:
    reason = "" if one["reason"] == "OK" else f" ({safe(one['reason'])})"
    return state(one["state"]) + reason


def _key(one: dict[str, Any]) -> str:
    return safe(one["key_id"]) if one["signed"] else "unsigned" if one["mode"] else "-"


def _next(transition: dict[str, Any] | None) -> str:
    return f"{state(transition['to'])} {moment(transition['at'])}" if transition else "-"


def _troubles(document: dict[str, Any]) -> Iterator[str]:
    if document["open_request"]:
        made = moment(document["open_request"]["made_at"])
        yield f"the request of {made} has no answer yet: only that can be imported"
    if document["drifted"]:
        names = ", ".join(map(safe, document["drifted"]))
        yield f"parts of this machine have changed since its lease was issued: {names}"


@app.command()
def refresh(
    wait: Annotated[float, typer.Option("--wait", min=0, max=_LONGEST_WAIT, help="Seconds.")] = _LONGEST_WAIT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the billing service for every camera now."""
    with agent(socket) as client:
        document = client.refresh(wait=wait)
    if as_json:
        show_json(document)
        return
    console.print(f"{_asked(document['round'])}; the device: {_standing(document)}")


def _asked(done: dict[str, int] | None) -> str:
    if done is None:
        return "still asking"
    if not done["cameras"]:
        return "nothing asked: no cameras, air-gapped, or the service has asked for quiet"
    without = done["cameras"] - done["answered"]
    return f"asked for {done['cameras']} cameras, {without} without an answer"


@app.command()
def request(
    output: Annotated[
        typer.FileTextWrite | None, typer.Option("--output", "-o", help="Write it here instead of to stdout.")
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Await no answer any more.")] = False,
    socket: SocketOption = None,
) -> None:
    """Make a request file, to be carried to the billing service; from now on only its answer can be imported."""
    with agent(socket) as client:
        document = client.withdraw_request() if withdraw else client.request_leases()
    if withdraw:
        console.print("withdrawn" if document["withdrawn"] else "there was no open request")
    elif output is None:
        show_json(document)
    else:
        output.write(json.dumps(document, indent=2) + "\n")
        console.print(f"written to {safe(output.name)}: have it answered, then run: tapi-agent license import ANSWER")


@app.command("import")
def import_file(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="Lease files one after another; - is stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would change, and change nothing.")] = False,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import the leases that answer a request, all or none; exit 7 when one is refused."""
    text = file.read().decode(errors="replace")  # the agent refuses what is no text
    with agent(socket) as client:
        document = client.import_leases(text, dry_run=dry_run)
    if as_json:
        show_json(document)
        return
    for one in document["leases"]:
        console.print(facts(_lease(one)))
        console.print()
    count = len(document["leases"])
    console.print(f"dry run of {count}: nothing was changed" if dry_run else f"imported {count}")


def _lease(one: dict[str, Any]) -> dict[str, str]:
    before, after = _standing(one["before"]), _standing(one["after"])
    return {
        "Lease of": safe(one["camera_id"] or "the tenant") + ("" if one["registered"] else " (not registered here)"),
        "Issued": f"{moment(one['issued'])}, sequence {one['sequence']}, key {safe(one['key_id'])}",
        "Says": f"{safe(one['mode'])}, {safe(one['status'])}: {', '.join(map(safe, one['packs'])) or 'no packs'}",
        "Offline": f"until {moment(one['expiry'])}" if one["expiry"] else "without end",
        "Ends": moment(one["valid_until"]),
        "Changes": f"{before} → {after}" if one["new"] else "nothing: it is held already",
        "Next": _next(one["after"]["next_transition"]),
    }
