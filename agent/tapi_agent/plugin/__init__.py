"""All that a plugin imports: the marker ``hookimpl`` and the values that hooks take and return (docs/hooks.md).

A distribution announces its plugin by an entry point of the group ``tapi_agent``, as the agent does its base catalog.
Everything else in this package is private to the agent.
"""

from __future__ import annotations

from pluggy import HookimplMarker

from tapi_agent.domain.delivery import WireBatch
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.features import Feature, GrowthPack, OnExpired, Scope, Tier
from tapi_agent.domain.license import LicenseMode, LicenseState, Reason, Subject
from tapi_agent.domain.quota import Period, QuotaRule
from tapi_agent.domain.usage import Meter, UsageEvent
from tapi_agent.plugin.values import Command, Job, UsageSink
from tapi_agent.ports.hooks import UsageSample
from tapi_agent.ports.plugins import Health

hookimpl = HookimplMarker("tapi_agent")

__all__ = [
    "Command",
    "Feature",
    "GrowthPack",
    "Health",
    "Job",
    "LicenseChanged",
    "LicenseMode",
    "LicenseState",
    "Meter",
    "OnExpired",
    "Period",
    "QuotaRule",
    "Reason",
    "Scope",
    "Subject",
    "Tier",
    "UsageEvent",
    "UsageSample",
    "UsageSink",
    "WireBatch",
    "hookimpl",
]
