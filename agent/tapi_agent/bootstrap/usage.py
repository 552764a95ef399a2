"""Metering and delivery on the spool and PostgreSQL."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.files import FileLosses, StateDisk
from tapi_agent.adapters.hardware import Hardware
from tapi_agent.adapters.postgres.usage import PostgresLedger
from tapi_agent.adapters.postgres.usage_batches import PostgresBatches
from tapi_agent.adapters.postgres.usage_doubts import PostgresDoubts, PostgresServiceMemory
from tapi_agent.adapters.postgres.usage_roots import PostgresRoots
from tapi_agent.adapters.postgres.usage_sealing import BatchIds
from tapi_agent.adapters.spool.home import Box
from tapi_agent.adapters.spool.spool import SqliteSpool
from tapi_agent.domain.batch import Dialect
from tapi_agent.domain.loss import LossKind
from tapi_agent.domain.space import SpaceTerms
from tapi_agent.domain.trusted_time import BUILT
from tapi_agent.services.delivery import Delivery, DeliveryTerms, UsageStores
from tapi_agent.services.losses import Losses
from tapi_agent.services.metering import Metering
from tapi_agent.services.space import Space

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.domain.usage import Meter
    from tapi_agent.settings import Settings


_SHORTEST_LEASE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What records usage and what brings it to the bill."""

    spool: SqliteSpool
    space: Space
    losses: Losses
    metering: Metering
    delivery: Delivery


def usage(settings: Settings, core: Core, stores: Stores, meters: Mapping[str, Meter]) -> Usage:
    """Both, for these settings; ``meters`` as the plugins declare them."""
    device = core.subject.device_id
    place = settings.tapi_state_dir / "spool"
    box = Box(device_id=device, marks=Hardware().components())
    spool = SqliteSpool(place / "usage.db", floor=BUILT - settings.usage_keep, box=box)
    ledger = PostgresLedger(database=stores.database, device_id=device)
    delivery = _delivery(settings, core, stores, spool, ledger)
    losses = Losses(ledger=FileLosses(place / "losses"), clock=core.clock)
    spool.on_damage(partial(losses.lost, LossKind.DAMAGED))
    delivery.on_lost(partial(losses.lost, LossKind.ROLLED_BACK))
    disk = StateDisk(place / "ballast", size=settings.spool_ballast_bytes)
    space = Space(disk=disk, terms=_space(settings), losses=losses, on_relief=delivery.wake)
    delivery.when_cramped(space.relieve)
    metering = Metering(
        spool=spool,
        admission=space,
        ledger=ledger,
        meters=switched(meters, settings),
        clock=core.clock,
        device_id=device,
        default_tenant=core.subject.tenant_id or None,
        entropy=os.urandom,
    )
    return Usage(spool=spool, space=space, losses=losses, metering=metering, delivery=delivery)


def _delivery(settings: Settings, core: Core, stores: Stores, spool: SqliteSpool, ledger: PostgresLedger) -> Delivery:
    ids = BatchIds(clock=core.clock, entropy=os.urandom)
    return Delivery(
        stores=UsageStores(
            spool=spool,
            ledger=ledger,
            batches=PostgresBatches(database=stores.database, device_id=core.subject.device_id, ids=ids),
            roots=PostgresRoots(database=stores.database, ids=ids),
            doubts=PostgresDoubts(database=stores.database),
            memory=PostgresServiceMemory(database=stores.database),
        ),
        billing=core.billing,
        connectivity=core.connectivity,
        clock=core.clock,
        monotonic=core.machine.monotonic,
        entropy=os.urandom,
        device_id=core.subject.device_id,
        terms=_terms(settings),
    )


def switched(meters: Mapping[str, Meter], settings: Settings) -> dict[str, Meter]:
    """Each meter under its TRACK_ switch; those of further plugins go with ENABLE_USAGE_TRACKING."""
    return {
        key: replace(meter, enabled=settings.tracked.get(key, settings.enable_usage_tracking))
        for key, meter in meters.items()
    }


def _space(settings: Settings) -> SpaceTerms:
    return SpaceTerms(
        shed=settings.spool_shed_free_bytes,
        slow=settings.spool_slow_free_bytes,
        least=settings.spool_min_free_bytes,
        ballast=settings.spool_ballast_bytes,
    )


def _terms(settings: Settings) -> DeliveryTerms:
    return DeliveryTerms(
        service=settings.billing_service_url or "",
        dialect=None if settings.billing_dialect == "auto" else Dialect(settings.billing_dialect),
        batch_size=settings.usage_batch_size,
        interval=settings.usage_sync_interval,
        resend_unknown=settings.billing_classic_unknown == "retry",
        spacing=settings.usage_spacing,
        lease=max(_SHORTEST_LEASE, 4 * settings.billing_timeout),
    )
