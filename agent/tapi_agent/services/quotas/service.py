"""The quotas of the agent's tenant: the face of the package.

Owns the answers; what may be granted is ``granting`` and ``account``, asking PostgreSQL ``drawing``, the rhythm
``reporting``, what reservations become ``commits``.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.services.quotas.accounts import Accounts
from tapi_agent.services.quotas.commits import Commits
from tapi_agent.services.quotas.drawing import Drawing
from tapi_agent.services.quotas.figures import figures_of, status_of
from tapi_agent.services.quotas.granting import Granting
from tapi_agent.services.quotas.publishing import Publishing
from tapi_agent.services.quotas.reporting import Reporting
from tapi_agent.services.quotas.rules import Rules
from tapi_agent.services.quotas.tickets import Tickets
from tapi_agent.services.quotas.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from tapi_agent.domain.decision import QuotaFigures
    from tapi_agent.domain.holder import Holder
    from tapi_agent.domain.ids import TenantId
    from tapi_agent.domain.quota import QuotaRule
    from tapi_agent.domain.usage import Meter, UsageEvent
    from tapi_agent.ports.cache import SharedCache
    from tapi_agent.ports.clock import Clock, TrustedClock
    from tapi_agent.ports.quotas import Asked, QuotaLedger
    from tapi_agent.ports.seal import Seal
    from tapi_agent.ports.spool import Spool
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.metering import Metering, Recorded
    from tapi_agent.services.quotas.values import Denial, Grant, QuotaStatus, ReserveRequest


class Quotas:
    """Implements ``ports.entitlements.QuotaFiguresSource`` and ``ports.quotas.QuotaWords`` for the agent's tenant.

    ``holder`` says what the tenant holds now. Without a tenant nothing is limited.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        tenant_id: TenantId,
        holder: Callable[[], Holder],
        metering: Metering,
        spool: Spool,
        ledger: QuotaLedger,
        cache: SharedCache,
        seal: Seal,
        connectivity: Connectivity,
        clock: TrustedClock,
        machine: Clock,
        entropy: Callable[[int], bytes],
    ) -> None:
        self._tenant_id = tenant_id
        self._clock = clock
        self._machine = machine
        self._rules = Rules(tenant_id=tenant_id, holder=holder)
        self._accounts = Accounts(self._rules)
        self._tickets = Tickets(seal)
        self._commits = Commits(metering)
        self._publishing = Publishing(cache=cache, tenant_id=tenant_id)
        self._drawing = Drawing(
            ledger=ledger, spool=spool, connectivity=connectivity, machine=machine, tenant_id=tenant_id
        )
        self._reporting = Reporting(accounts=self._accounts, drawing=self._drawing, clock=clock, machine=machine)
        self._words = Words(accounts=self._accounts, ledger=ledger, reporting=self._reporting, clock=clock)
        self._granting = Granting(
            tenant_id=tenant_id,
            accounts=self._accounts,
            drawing=self._drawing,
            tickets=self._tickets,
            metering=metering,
            clock=clock,
            machine=machine,
            entropy=entropy,
        )
        self._closed = False

    def apply(self, rules: Sequence[QuotaRule], meters: Mapping[str, Meter]) -> None:
        """These rules and meters are in force from now on."""
        self._rules.apply(rules, meters)
        self.wake()

    def wake(self) -> None:
        """What the quotas rest on may have changed: PostgreSQL is back, the tenant holds something else."""
        self._reporting.wake()

    async def reserve(self, request: ReserveRequest) -> Grant | Denial:
        """Keep an amount back, or say why not.

        Raises ``InvalidInputError`` for what could not be recorded either (UNKNOWN_METER, METER_DISABLED and so on),
        ``UnavailableError`` when too many reservations are open, or the agent stops.
        """
        if self._closed:
            raise UnavailableError("the agent is stopping", fix="try again when it has started")
        return await self._granting.reserve(request)

    async def commit(
        self, reservation_id: str, actual: object, details: Mapping[str, object] | None = None
    ) -> Recorded:
        """Record what was really used, as one event at the time of the reservation, which is then closed.

        ``details`` are further fields of the event: resource_id, resource_type, billable, metadata. A repeat returns
        what the first returned. Also after the ttl or a restart: what happened is recorded. Raises what
        ``Metering.record`` raises, ``InvalidInputError`` (``reservation_unknown``) for an id that no agent of this
        device has given, ``RejectedError`` (``reservation_committed``) when it was committed with another amount.
        """
        return await self._commits.commit(self._tickets.read(reservation_id).use, actual, details or {})

    def release(self, reservation_id: str) -> None:
        """The reservation is not needed; one that is gone already is fine. ``InvalidInputError`` as for ``commit``."""
        ticket = self._tickets.read(reservation_id)
        for account in self._accounts.counting(ticket.use.meter, ticket.use.reserved_at):
            account.release(ticket.event_id)

    def recorded(self, events: Sequence[UsageEvent]) -> None:
        """These events are durable: they take from what this agent holds. Called by metering, never raises."""
        now = self._machine.monotonic()
        ours = (event for event in events if event.tenant_id == self._tenant_id)
        for (meter, at), group in groupby(ours, attrgetter("event_type", "event_time")):
            alike = list(group)
            for account in self._accounts.counting(meter, at):
                account.recorded(alike, now=now)

    def figures(self, meter: str) -> QuotaFigures | None:
        """How the meter's quota stands now, a lookup in memory; ``None`` where nothing limits it."""
        account = self._accounts.current(meter, self._clock.now())
        return figures_of(account) if account else None

    def statuses(self) -> Sequence[QuotaStatus]:
        """How every quota stands now, in order of the meters; a lookup in memory."""
        now = self._clock.now()
        accounts = [(self._accounts.current(meter, now), rules.unit) for meter, rules in self._rules.meters.items()]
        return [status_of(account, unit=unit, complete=self._drawing.answered) for account, unit in accounts if account]

    async def asking(self, meter: str) -> Asked | None:
        """To be called before the service is asked; ``None``: its word would mean nothing (no quota, no PostgreSQL)."""
        return await self._words.asking(meter)

    async def told(self, asked: Asked, remaining: Decimal) -> None:
        """What the service then said is left; -1 is unlimited. A word that cannot be written down is lost."""
        await self._words.told(asked, remaining)

    async def run(self) -> None:
        """Until cancelled: report what changed, let reservations expire, give blocks back, begin new periods."""
        while True:
            await self.look()
            await self._reporting.pause()

    async def look(self) -> None:
        """One round of ``run``."""
        if await self._reporting.look():
            await self._publishing.publish(self.statuses())

    async def close(self) -> None:
        """Give back what is in hand; nothing is granted any more."""
        self._closed = True
        await self._reporting.give_back()
