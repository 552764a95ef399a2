"""What proves usage, on the stores that delivery works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tapi_agent.adapters.postgres.usage_batches import PostgresBatches
from tapi_agent.adapters.postgres.usage_deliveries import PostgresDeliveries
from tapi_agent.adapters.postgres.usage_doubts import PostgresDoubts, PostgresServiceMemory
from tapi_agent.adapters.postgres.usage_letters import PostgresLetters
from tapi_agent.adapters.postgres.usage_proof import PostgresProof
from tapi_agent.adapters.postgres.usage_sealing import BatchIds
from tapi_agent.domain.batch import Dialect
from tapi_agent.services.proof import Proof
from tapi_agent.services.proof.letters import LetterBox
from tapi_agent.services.proof.reconcile import Reconciliation
from tapi_agent.services.proof.service_facts import ServiceFacts
from tapi_agent.services.proof.verdicts import Verdicts
from tapi_agent.services.proof.verify import Verification

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.settings import Settings


def proof(settings: Settings, core: Core, stores: Stores, metered: Usage) -> Proof:
    """All of it, for these settings."""
    database, wake = stores.database, metered.delivery.wake
    letters = PostgresLetters(database=database)
    facts = ServiceFacts(
        memory=PostgresServiceMemory(database=database),
        service=settings.billing_service_url or "",
        dialect=None if settings.billing_dialect == "auto" else Dialect(settings.billing_dialect),
    )
    batches = PostgresBatches(
        database=database,
        device_id=core.subject.device_id,
        ids=BatchIds(clock=core.clock, entropy=os.urandom),
    )
    return Proof(
        verification=Verification(spool=metered.spool, store=PostgresProof(database=database)),
        reconciliation=Reconciliation(
            deliveries=PostgresDeliveries(database=database), billing=core.billing, facts=facts, wake=wake
        ),
        letters=LetterBox(letters=letters, billing=core.billing, facts=facts, wake=wake),
        verdicts=Verdicts(letters=letters, batches=batches, doubts=PostgresDoubts(database=database), wake=wake),
    )
