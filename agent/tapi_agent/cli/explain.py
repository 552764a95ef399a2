"""tapi-agent explain: why a camera stands as it does, on what evidence, what comes next, what to do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, state
from tapi_agent.cli.text import ahead, moment, since

CameraOption = Annotated[
    str | None, typer.Option("--camera", help="Default: the one in the worst state.", show_default=False)
]


def explain(camera: CameraOption = None, socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Say why a camera, or the box as a whole, stands as it does, and what to do about it."""
    with agent(socket) as client:
        document = client.explain(camera)
    if as_json:
        show_json(document)
    else:
        console.print(facts({name: words for name, words in _page(document).items() if words}))


def _page(document: dict[str, Any]) -> dict[str, str]:
    rule, coming = document["rule"], document["next_transition"]
    who = f"camera {safe(document['camera_id'])}" if document["camera_id"] else "the tenant"
    unknown = "" if document["registered"] or not document["camera_id"] else " (not registered here)"
    return {
        "State": f"{who}{unknown} is {state(document['state'])} ({safe(document['reason'])})",
        "Means": safe(document["meaning"]),
        "Rule": f"{'row ' + str(rule['row']) if rule['row'] else 'none'}: {safe(rule['condition'])}",
        "Deadlines": _deadlines(document["deadlines"]) or "-",
        "Evidence": _evidence(document),
        "Link": safe(document["problem"]) or _link(document["contact"]),
        "Place": _place(document),
        "Clock": "\n".join(map(safe, document["clock"]["fixes"])) or "nothing odd about it",
        "Machine": f"changed since the lease: {', '.join(map(safe, document['drifted']))}"
        if document["drifted"]
        else "",
        "Next": f"{state(coming['to'])} on {ahead(coming['at'], document['now'])} unless the service answers"
        if coming
        else "nothing expected",
        "To do": safe(document["remedy"]),
    }


def _place(document: dict[str, Any]) -> str:
    if document["place"] is None:
        return ""
    allowed = document["allowed"]
    return f"{document['place']} by seniority, {'any number' if allowed is None else allowed} may work"


def _evidence(document: dict[str, Any]) -> str:
    if document["mode"] is None:
        return "none"
    signed = f"signed by {safe(document['key_id'])}" if document["signed"] else "unsigned"
    verified = since(document["verified_at"], document["now"])
    return f"{safe(document['mode'])}, {signed}, from {safe(document['tier'])}, verified {verified}"


def _deadlines(deadlines: dict[str, str | None] | None) -> str:
    return "\n".join(f"{name} {moment(at)}" for name, at in (deadlines or {}).items() if at)


def _link(contact: dict[str, Any]) -> str:
    if contact["air_gapped"]:
        return "air-gapped"
    return "the last attempt was answered" if contact["attempted"] else "not tried yet"
