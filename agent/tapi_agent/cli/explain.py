"""tapi-agent explain: why a camera stands as it does, on what evidence, what comes next, what to do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tapi_agent.cli.common import JsonOption, SocketOption, agent
from tapi_agent.cli.output import console, facts, safe, show_json, state
from tapi_agent.cli.text import ahead, moment, since
from tapi_agent.domain.wording import ordinal

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
        page = {"Device": _device(document) if camera is None else "", **_page(document)}
        console.print(facts({name: words for name, words in page.items() if words}))


def _device(document: dict[str, Any]) -> str:
    name = safe(document["camera_id"])
    return f"no other camera is worse than {name}" if name else "no cameras are registered: this is the tenant"


def _page(document: dict[str, Any]) -> dict[str, str]:
    rule = document["rule"]
    who = f"camera {safe(document['camera_id'])}" if document["camera_id"] else "the tenant"
    unknown = "" if document["registered"] or not document["camera_id"] else " (not registered here)"
    flags = "".join(f", {safe(flag)}" for flag in document["flags"])
    return {
        "State": f"{who}{unknown} is {state(document['state'])} ({safe(document['reason'])}{flags})",
        "Means": safe(document["meaning"]),
        "Rule": f"{'row ' + str(rule['row']) if rule['row'] else 'none'}: {safe(rule['holds'])}",
        "Deadlines": _deadlines(document["deadlines"]) or "-",
        "Evidence": _evidence(document),
        "Link": _link(document),
        "Place": _place(document),
        "Clock": _clock(document["clock"]),
        "Machine": _machine(document["drifted"]),
        "Next": _next(document),
        "To do": safe(document["remedy"]),
    }


def _evidence(document: dict[str, Any]) -> str:
    if document["missing"]:
        return f"none: {safe(document['missing']['detail'])}"
    signed = f"signed by {safe(document['key_id'])}" if document["signed"] else "classic (unsigned)"
    whose = "" if document["evidence_of"] == document["camera_id"] else " of the tenant"
    verified = since(document["verified_at"], document["now"])
    return f"{safe(document['mode'])}{whose}, {signed}, from {safe(document['tier'])}, verified {verified}"


def _deadlines(deadlines: dict[str, str | None] | None) -> str:
    return "\n".join(f"{name} {moment(at)}" for name, at in (deadlines or {}).items() if at)


def _link(document: dict[str, Any]) -> str:
    contact, problem = document["contact"], document["problem"]
    if contact["air_gapped"]:
        return "air-gapped: nobody is asked"
    if problem:
        return f"the last attempt failed: {safe(problem)}"
    if contact["attempted"]:
        return "the last attempt was answered"
    return f"not tried yet; silence counts from {moment(contact['lost_at'])}"


def _place(document: dict[str, Any]) -> str:
    place, allowed = document["place"], document["allowed"]
    if place is None:
        return ""
    return f"{ordinal(place)} of {'any number' if allowed is None else allowed} allowed, by seniority"


def _clock(clock: dict[str, Any]) -> str:
    pairs = zip(clock["flags"], clock["fixes"], strict=True)
    return "\n".join(f"[yellow]{safe(flag)}[/] → {safe(fix)}" for flag, fix in pairs) or "nothing odd about it"


def _machine(drifted: list[str]) -> str:
    return f"changed since the lease: {', '.join(map(safe, drifted))}" if drifted else ""


def _next(document: dict[str, Any]) -> str:
    coming = document["next_transition"]
    if not coming:
        return "nothing expected"
    word = "a lease is imported" if document["contact"]["air_gapped"] else "the service answers"
    when = ahead(coming["at"], document["now"])
    return f"{state(coming['to'])} ({safe(coming['reason'])}) on {when} unless {word}"
