"""The tools of proof on a rig, and a rig in which a bit of everything has happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.adapters.postgres.usage_deliveries import PostgresDeliveries
from tapi_agent.adapters.postgres.usage_letters import PostgresLetters
from tapi_agent.adapters.postgres.usage_proof import PostgresProof
from tapi_agent.domain.ids import StreamId
from tapi_agent.services.proof import Proof
from tapi_agent.services.proof.letters import LetterBox
from tapi_agent.services.proof.reconcile import Reconciliation
from tapi_agent.services.proof.service_facts import ServiceFacts
from tapi_agent.services.proof.verdicts import Verdicts
from tapi_agent.services.proof.verify import Verification

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from tapi_agent.domain.proof import Finding, Line

SERVICE = "http://billing.test/api/v1"


@dataclass(kw_only=True)
class Prover:
    """Everything that can be proved of a rig, in one call."""

    rig: Any
    proof: Proof
    woken: int = 0

    async def findings(self) -> list[Finding]:
        """What is wrong, all in all."""
        verification = self.proof.verification
        outline = await verification.outline()
        found = list(outline.findings)
        for day in outline.days:
            found += (await verification.day(day)).findings
        after = None
        while True:
            batches = await verification.batches(after=after)
            found += batches.findings
            if batches.last is None:
                return found
            after = batches.last

    async def lines(self) -> list[Line]:
        """Every equation."""
        days = (await self.proof.verification.outline()).days
        return [line for day in days for line in (await self.proof.verification.day(day)).lines]

    async def fates(self) -> dict[str, int]:
        """Events by fate over all accounts."""
        found: dict[str, int] = {}
        for line in await self.lines():
            for fate, amount in line.fates.items():
                found[str(fate)] = found.get(str(fate), 0) + amount.events
        return found

    async def days(self) -> list[date]:
        return list(await self.proof.reconciliation.days())


def prover_of(rig: Any) -> Prover:
    letters = PostgresLetters(database=rig.database)
    facts = ServiceFacts(memory=rig.stores.memory, service=SERVICE, dialect=None)
    wake = rig.delivery.wake
    return Prover(
        rig=rig,
        proof=Proof(
            verification=Verification(spool=rig.spool, store=PostgresProof(database=rig.database)),
            reconciliation=Reconciliation(
                deliveries=PostgresDeliveries(database=rig.database), billing=rig.billing, facts=facts, wake=wake
            ),
            letters=LetterBox(letters=letters, billing=rig.billing, facts=facts, wake=wake),
            verdicts=Verdicts(letters=letters, batches=rig.stores.batches, doubts=rig.stores.doubts, wake=wake),
        ),
    )


@pytest.fixture
def prove() -> Callable[[Any], Prover]:
    """``prove(rig)`` gives the tools of proof on it."""
    return prover_of


__all__ = ["Prover", "StreamId", "prover_of"]
