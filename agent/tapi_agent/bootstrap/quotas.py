"""Quotas on the counters in PostgreSQL, told by metering what is used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tapi_agent.adapters.postgres.quotas import PostgresQuotaLedger
from tapi_agent.services.connectivity import POSTGRES
from tapi_agent.services.quotas import Quotas

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.domain.holder import Holder


def quotas(core: Core, stores: Stores, metered: Usage, holder: Callable[[], Holder]) -> Quotas:
    """The service for this agent's tenant; ``holder`` says what the tenant holds now.

    Its ``run`` is a task of the daemon. ``close`` it while spool and PostgreSQL are still there, ``apply`` rules to it.
    """
    service = Quotas(
        tenant_id=core.subject.tenant_id,
        holder=holder,
        metering=metered.metering,
        spool=metered.spool,
        ledger=PostgresQuotaLedger(database=stores.database, device_id=core.subject.device_id),
        cache=stores.cache,
        seal=core.key,
        connectivity=core.connectivity,
        clock=core.clock,
        machine=core.machine,
        entropy=os.urandom,
    )
    metered.metering.on_recorded(service.recorded)
    core.connectivity.on_recovery(POSTGRES, service.wake)
    return service
