"""The contract's calls on licenses: validate, entitlements, heartbeat, the license report. Classic and extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from tapi_agent.sandbox import features, leases, subscriptions, wire, words
from tapi_agent.sandbox.access import require_own
from tapi_agent.sandbox.interference import misbehavior_of, refuse_extension, server_time, shown_clock
from tapi_agent.sandbox.lease_desk import LeaseDesk
from tapi_agent.sandbox.replies import ExactJSON
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF, Subscription

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from tapi_agent.sandbox.leases import Draft
    from tapi_agent.sandbox.ledger import Ledger

_HEARTBEAT_SECONDS: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What the ledger says about a subject, and the lease to say it with, for a tenant that gets leases."""

    held: Subscription
    sequence: int
    draft: Draft | None


class LicensesApi:
    """Handlers; ``now`` is the service's clock."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._now = now
        self._desk = LeaseDesk()

    def routes(self) -> list[Route]:
        """Paths below /api/v1."""
        return [
            Route("/licenses/validate", self.validate, methods=["POST"]),
            Route("/entitlements/check", self.check_entitlement, methods=["POST"]),
            Route("/heartbeat", self.heartbeat, methods=["POST"]),
            Route("/billing/license/{tenant_id:path}", self.license_report),
            Route("/billing/growth-packs/{tenant_id:path}", self.growth_packs),
        ]

    async def validate(self, request: Request) -> Response:
        """The word on one camera. An unknown one takes a free place of its tenant's subscription."""
        said = wire.document(await request.body())
        asked = wire.fill(wire.ValidateRequest, said)
        require_own(request, asked.tenant_id)
        refuse_extension(request, wire.VALIDATE_EXTENSION & said.keys())
        if misbehavior_of(request).classic_only:
            word = await self._ledger.write(_word, asked, wire.LeaseWish())
            return ExactJSON(words.classic(word.held, self._now()))
        wish = wire.fill(wire.LeaseWish, said)
        word = await self._ledger.write(_word, asked, wish)
        return ExactJSON(self._extended(request, word) | self._lease(request, word, wish.nonce))

    async def check_entitlement(self, request: Request) -> Response:
        """The word on one feature of the tenant."""
        asked = wire.read(wire.EntitlementRequest, await request.body())
        require_own(request, asked.tenant_id)
        feature = f"{asked.feature_category}.{asked.feature_name}"
        return ExactJSON(await self._ledger.read(features.entitlement, asked.tenant_id, feature, self._now()))

    async def heartbeat(self, request: Request) -> Response:
        """A sign of life; nothing is kept of it."""
        asked = wire.read(wire.HeartbeatRequest, await request.body())
        require_own(request, asked.tenant_id)
        return ExactJSON({"status": "ok", "next_heartbeat_in_seconds": _HEARTBEAT_SECONDS})

    async def license_report(self, request: Request) -> Response:
        """The tenant's license and that of each of its cameras. Unsigned: a tenant with leases is told by leases."""
        tenant_id = request.path_params["tenant_id"]
        require_own(request, tenant_id)
        licenses, sequence = await self._ledger.read(_licenses, tenant_id)
        now, extended = self._now(), not misbehavior_of(request).classic_only
        word = words.report(licenses, now, extended=extended)
        if extended:
            shown = server_time(request, now)
            word |= words.extension(licenses[TENANT_ITSELF], sequence, now=now, server_time=shown)
        return ExactJSON(word)

    async def growth_packs(self, request: Request) -> Response:
        """The packs of the tenant itself."""
        tenant_id = request.path_params["tenant_id"]
        require_own(request, tenant_id)
        held = await self._ledger.read(subscriptions.license_of, tenant_id, TENANT_ITSELF)
        return ExactJSON({"enabled_packs": words.or_null(held.packs)})

    def _extended(self, request: Request, word: _Word) -> dict[str, object]:
        now = self._now()
        shown = server_time(request, now)
        return words.classic(word.held, now) | words.extension(word.held, word.sequence, now=now, server_time=shown)

    def _lease(self, request: Request, word: _Word, nonce: str | None) -> dict[str, str]:
        """The word once more, signed. What it rests on is on the disk, whatever becomes of the signing."""
        if word.draft is None or nonce is None:
            return {}
        now, forgery = shown_clock(request, self._now()), misbehavior_of(request).forgery
        lease = self._desk.answer(word.draft, nonce, now, forgery)
        return {} if lease is None else {"lease": lease}


def _word(db: sqlite3.Connection, asked: wire.ValidateRequest, wish: wire.LeaseWish) -> _Word:
    subscriptions.register(db, asked.tenant_id, asked.camera_id)
    held = subscriptions.license_of(db, asked.tenant_id, asked.camera_id)
    tenants = leases.draw_up(db, asked.tenant_id, wish.fingerprint or asked.device_id, wish.components)
    return _Word(
        held=held,
        sequence=subscriptions.sequence(db, asked.tenant_id),
        draft=tenants and tenants.on(asked.camera_id, held),
    )


def _licenses(db: sqlite3.Connection, tenant_id: str) -> tuple[dict[str, Subscription], int]:
    return subscriptions.licenses(db, tenant_id), subscriptions.sequence(db, tenant_id)
