"""GET /billing/license/{tenant} as ``ports.billing.LicenseReport``.

A malformed whole is an ``IntegrityError``; a malformed entry is no answer for its camera only. An entry that names no
camera is nobody's, and what a report says about a camera twice counts neither time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.billing import forms, replies
from tapi_agent.adapters.billing.forms import Document, optional, required
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.ids import CameraId
from tapi_agent.ports.billing import LicenseReply, LicenseReport

if TYPE_CHECKING:
    from collections.abc import Callable

    Cleaned = Callable[[bytes], bytes]

_IN_ONE_GO: Final = 100
"""Entries read before others get their turn on the loop."""


async def license_report(reply: Document, *, cleaned: Cleaned) -> LicenseReport:
    """The report; ``cleaned`` takes secrets out of what is kept for people."""
    entries = [entry for entry in map(_entry, optional(reply, "cameras", forms.items) or ()) if entry is not None]
    tenant = replies.license_reply(reply)
    raw = forms.rendered({name: value for name, value in reply.items() if name not in {"cameras", "lease"}})
    cameras: dict[CameraId, LicenseReply] = {}
    malformed: dict[CameraId, IntegrityError] = {}
    named = Counter(camera_id for camera_id, _ in entries)
    for number, (camera_id, entry) in enumerate(entries):
        if number % _IN_ONE_GO == 0:
            await asyncio.sleep(0)
        try:
            _require_once(camera_id, named)
            word = _camera(entry, cameras_allowed=tenant.cameras_allowed)
            cameras[camera_id] = replace(word, raw=forms.raw(cleaned(forms.rendered(entry))))
        except IntegrityError as error:
            malformed[camera_id] = error
    return LicenseReport(
        tenant=replace(tenant, lease="", raw=forms.raw(cleaned(raw))), cameras=cameras, malformed=malformed
    )


def _entry(value: object) -> tuple[CameraId, Document] | None:
    """An entry and whose it is."""
    if not isinstance(value, dict):
        return None
    try:
        return CameraId(forms.text(value.get("camera_id"))), Document(value)
    except ValueError:
        return None


def _require_once(camera_id: CameraId, named: Counter[CameraId]) -> None:
    if named[camera_id] > 1:
        raise IntegrityError(
            f"malformed reply of the billing service: its license report has {named[camera_id]} words on one camera",
            fix="tell the operators of the service; what was known before stays in force",
        )


def _camera(entry: Document, *, cameras_allowed: int | None) -> LicenseReply:
    """The limit is the tenant's: a report does not repeat it."""
    return LicenseReply(
        is_valid=required(entry, "is_valid", forms.flag),
        mode=required(entry, "mode", replies.mode),
        packs=optional(entry, "enabled_growth_packs", forms.texts) or (),
        valid_until=optional(entry, "valid_until", forms.moment),
        cameras_allowed=cameras_allowed,
        status=optional(entry, "status", replies.status),
        sequence=optional(entry, "sequence", forms.count),
    )
