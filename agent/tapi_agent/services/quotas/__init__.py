"""Quotas: what is left of a meter's limit in its period, and grants on it, over all agents of the tenant (ADR 0070).

``Quotas`` is the face of the package: the daemon runs ``run`` and at the end ``close``, metering tells it ``recorded``,
the API reserves, commits and releases, the entitlements ask for ``figures``, the overrides pass on the service's words.
"""

from __future__ import annotations

from tapi_agent.services.quotas.service import Quotas
from tapi_agent.services.quotas.values import (
    DEFAULT_TTL,
    LONGEST_TTL,
    Denial,
    DenialReason,
    Grant,
    QuotaStatus,
    ReserveRequest,
    Source,
)

__all__ = [
    "DEFAULT_TTL",
    "LONGEST_TTL",
    "Denial",
    "DenialReason",
    "Grant",
    "QuotaStatus",
    "Quotas",
    "ReserveRequest",
    "Source",
]
