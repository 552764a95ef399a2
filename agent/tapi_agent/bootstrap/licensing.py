"""Licensing: the service, its tiers of evidence, and what tells a genuine lease on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tapi_agent.adapters.files import FileEvidence, FileRequest, FileRoster
from tapi_agent.adapters.hardware import Hardware
from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.adapters.postgres.licenses import PostgresEvidence, PostgresLicenseLog
from tapi_agent.adapters.redis.evidence import RedisEvidence
from tapi_agent.adapters.signing import DeviceSealer
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.ports.publisher import Publisher
    from tapi_agent.settings import Settings


def licensing(settings: Settings, core: Core, stores: Stores, publisher: Publisher) -> Licensing:
    """The service, on the tiers of this box: the local file first."""
    device, tenant = core.subject.device_id, core.subject.tenant_id
    return Licensing(
        around=Surroundings(
            tenant=core.subject,
            policy=LicensePolicy(
                durations=settings.durations,
                ask=settings.enable_license_validation,
                bypass=settings.bypass_license_check,
            ),
            billing=core.billing,
            connectivity=core.connectivity,
            clock=core.clock,
            machine=core.machine,
            leases=_leases(settings, core),
            entropy=os.urandom,
        ),
        tiers=[
            FileEvidence(settings.tapi_state_dir / "evidence.json"),
            RedisEvidence(cache=stores.cache, device_id=device, tenant_id=tenant, ttl=settings.freshness),
            PostgresEvidence(database=stores.database, clock=core.clock, device_id=device, tenant_id=tenant),
        ],
        sealer=DeviceSealer(core.key),
        roster=FileRoster(settings.tapi_state_dir / "cameras.json"),
        requests=FileRequest(settings.tapi_state_dir / "license.request", key=core.key),
        edge_log=PostgresLicenseLog(database=stores.database, device_id=device, tenant_id=tenant),
        publisher=publisher,
    )


def _leases(settings: Settings, core: Core) -> Leases:
    key = settings.license_key
    return Leases(
        reader=LeaseFiles(
            keys=settings.trusted_keys,
            license_key=key.get_secret_value() if key else None,
            fingerprint=core.subject.device_id,
        ),
        machine=Hardware(),
        tenant=core.subject,
        max_offline=settings.lease_max_offline,
    )
