"""Delivering usage: drained into the database, sealed, sent, settled; what is in doubt is asked about, never guessed.

``Delivery`` is the face of the package: the daemon runs ``run``, a job calls ``sync_if_due``, the API ``flush`` and
``backlog``.
"""

from __future__ import annotations

from tapi_agent.services.delivery.delivery import Delivery
from tapi_agent.services.delivery.reports import Backlog, SyncReport
from tapi_agent.services.delivery.terms import DeliveryTerms, UsageStores

__all__ = ["Backlog", "Delivery", "DeliveryTerms", "SyncReport", "UsageStores"]
