"""How a lease is shown, and the states it leads to: as JSON, and that for people. Called by ``license inspect``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic_core import to_jsonable_python

from tapi_agent.cli.output import console, safe
from tapi_agent.cli.spans import show_spans
from tapi_agent.cli.text import moment
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.domain.lease import Lease, evidence_of
from tapi_agent.domain.license import Contact, Evidence, Subject
from tapi_agent.domain.timeline import timeline

_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)
_SILENCE: Final = Contact(lost=True, attempted=True)
_DURATIONS: Final = ("freshness", "offline_grace", "license_grace")
_LABELS: Final = {
    "issued": ("issued", ""),
    "tenant_id": ("tenant", "not named"),
    "camera_id": ("camera", "the whole tenant"),
    "device_id": ("device", "any"),
    "mode": ("mode", ""),
    "status": ("status", ""),
    "packs": ("packs", "none"),
    "cameras_allowed": ("cameras allowed", "unlimited"),
    "not_before": ("not before", "no limit"),
    "valid_until": ("paid until", "no end"),
    "expiry": ("without contact until", "no end"),
    "sequence": ("sequence", ""),
    "nonce": ("nonce", "none"),
    "reset_clock": ("sets the clock", ""),
    "components": ("marks of the machine", "none"),
}
"""Label of each field, and what it means when it is empty."""
_WIDTH: Final = max(len(label) for label, _ in _LABELS.values()) + 2
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT")


def lease_document(lease: Lease, max_offline: timedelta | None) -> dict[str, Any]:
    """What a lease says, and what it leads to without contact, in JSON's types."""
    tenant = Subject(
        device_id=lease.device_id or DeviceId(""), tenant_id=lease.tenant_id or TenantId(""), camera_id=lease.camera_id
    )
    evidence = evidence_of(lease, tenant=tenant, max_offline=max_offline)
    said: dict[str, Any] = to_jsonable_python(lease, timedelta_mode="float")
    durations = {f"{name}_s": said.pop(name) for name in _DURATIONS}
    return said | {"durations": durations, "timeline": to_jsonable_python(_timeline(evidence))}


def _timeline(evidence: Evidence) -> list[dict[str, object]]:
    """The states from its issue on, while nobody answers."""
    spans = timeline(evidence, start=evidence.verified_at, until=_FOR_EVER, contact=_SILENCE)
    return [{"at": span.at, "state": span.state, "reason": span.reason} for span in spans]


def show_lease(document: dict[str, Any]) -> None:
    """The same for people."""
    console.print(f"[green]genuine[/]: a {document['kind']} file, signed by {safe(document['key_id'])}", soft_wrap=True)
    for name, (label, empty) in _LABELS.items():
        # A line each, never cut: ids and marks are there to be compared.
        console.print(f"[bold]{label:<{_WIDTH}}[/]{safe(_said(document[name]) or empty)}", soft_wrap=True)
    for name, seconds in document["durations"].items():
        label = name.removesuffix("_s").replace("_", " ")
        console.print(f"[bold]{label:<{_WIDTH}}[/]{timedelta(seconds=seconds)}", soft_wrap=True)
    console.print("\nIf nobody answers from then on:")
    show_spans(document["timeline"])


def _said(value: object) -> str:
    """A field in words; nothing for an empty one."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value)
        case dict():
            return ", ".join(f"{name} {mark}" for name, mark in value.items())
        case str() if _MOMENT.match(value):
            return moment(value)
        case _:
            return str(value)
