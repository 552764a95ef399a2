"""The billing service over HTTP (4-billing-contract): ``HttpBilling``, or ``AbsentBilling`` where none was named.

``endpoint``: where the service is. ``wire``, ``bodies``, ``breakage``: one bounded exchange. ``classify``: what an
outcome means. ``replies``, ``forms``, ``moments``: the contract's JSON as values. Judging them is the domain's.
"""

from __future__ import annotations

from tapi_agent.adapters.billing.absent import AbsentBilling
from tapi_agent.adapters.billing.client import HttpBilling

__all__ = ["AbsentBilling", "HttpBilling"]
