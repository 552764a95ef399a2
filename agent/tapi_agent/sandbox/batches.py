"""A usage request as it came: taken apart, checked against its seal, each event judged by itself. It stores nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import InvalidInputError, RejectedError
from tapi_agent.sandbox import exact_json, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.sandbox.exact_json import Element

UNITS: Final = {
    "api_call": "calls",
    "llm_tokens": "tokens",
    "storage_gb_days": "gb_days",
    "sms_sent": "count",
    "agent_execution": "count",
    "cloud_export_gb": "gb",
    "webhook_call": "count",
    "email_sent": "count",
}
"""The units of the contract's meters. Meters that are not listed (plugins have their own) are billed in any unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One event of a request: the ``event`` to be billed, or why it cannot be.

    ``text`` is its JSON, byte for byte; ``event_id`` is empty when a classic client sends none.
    """

    event_id: str
    text: str
    event: wire.Event | None = None
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBatch:
    """A request of the extension. ``body_sha256`` is over all of it: the same key must come with the same bytes."""

    candidates: tuple[Candidate, ...]
    seal: wire.Seal
    body_sha256: str


def classic_batch(members: Mapping[str, Element]) -> tuple[Candidate, ...]:
    """The events of a request as the service of today reads it, whatever else it may carry."""
    return tuple(map(_classic, _events(members)))


def sealed_batch(members: Mapping[str, Element], *, key: str | None, body_sha256: str) -> SealedBatch:
    """A request of the extension; ``key`` is its Idempotency-Key, which must be its ``batch_id``.

    ``RejectedError`` ``sha256_mismatch`` or ``count_mismatch`` when the events are not the ones that were sealed: then
    nothing of the batch is stored, and its key is still free.
    """
    seal = wire.fill(wire.Seal, {name: member.value for name, member in members.items()})
    if key != seal.batch_id:
        raise InvalidInputError("the Idempotency-Key header must be the batch_id", code="key_mismatch")
    elements = _events(members)
    _check_seal(seal, members["events"].text, len(elements))
    return SealedBatch(candidates=tuple(map(_sealed, elements)), seal=seal, body_sha256=body_sha256)


def _events(members: Mapping[str, Element]) -> list[Element]:
    events = members.get("events")
    if events is None or not isinstance(events.value, list) or not events.value:
        raise InvalidInputError("events: must be a list with at least one event", code="bad_events")
    if len(events.value) > wire.MAX_EVENTS:
        raise RejectedError(f"events: at most {wire.MAX_EVENTS} in a batch", code="too_large")
    return exact_json.elements(events.text)


def _check_seal(seal: wire.Seal, events: str, count: int) -> None:
    if seal.count != count:
        raise RejectedError(f"count says {seal.count}, there are {count} events", code="count_mismatch")
    digest = hashlib.sha256(events.encode()).hexdigest()
    if seal.sha256 != digest:
        raise RejectedError(f"sha256 of the events array as received is {digest}", code="sha256_mismatch")


def _sealed(element: Element) -> Candidate:
    """Results are by id, so an event without one spoils the whole batch."""
    return _candidate(wire.SealedEvent, element, wire.fill(wire.Identity, element.value).event_id)


def _classic(element: Element) -> Candidate:
    """The service of today knows no ids. The ledger notes one all the same, so that billing twice can be seen."""
    try:
        event_id = wire.fill(wire.Identity, element.value).event_id
    except InvalidInputError:
        event_id = ""
    return _candidate(wire.Event, element, event_id)


def _candidate(form: type[wire.Event], element: Element, event_id: str) -> Candidate:
    try:
        event = wire.fill(form, element.value)
        _check_unit(event)
    except InvalidInputError as error:
        return Candidate(event_id=event_id, text=element.text, code=error.code, detail=str(error))
    return Candidate(event_id=event_id, text=element.text, event=event)


def _check_unit(event: wire.Event) -> None:
    unit = UNITS.get(event.event_type, event.unit)
    if event.unit != unit:
        raise InvalidInputError(f"unit: {event.event_type} is counted in {unit}", code="unit_mismatch")
