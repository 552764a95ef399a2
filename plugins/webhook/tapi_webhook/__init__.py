"""Webhook: tells the receivers at WEBHOOK_URLS of every change of a license, signed, at least once.

The hooks are below. ``license_changed`` only writes to the outbox: receivers are told on threads of their own.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health, Job, hookimpl
from tapi_webhook.settings import read
from tapi_webhook.teller import Teller

if TYPE_CHECKING:
    from tapi_agent.plugin import LicenseChanged

_SWEEP_EVERY: Final = timedelta(seconds=5)

_settings = read(os.environ)


@hookimpl
def license_changed(change: LicenseChanged) -> None:
    """Into the outbox."""
    if teller := _teller():
        teller.tell(change)


@hookimpl
def register_jobs() -> list[Job]:
    """Tries again, and takes up what the last run of the agent has left."""
    teller = _teller()
    return [Job(name="deliver", every=_SWEEP_EVERY, run=teller.sweep)] if teller else []


@hookimpl
def health_checks() -> list[Health]:
    """Each receiver; nothing while the plugin is off."""
    return teller.health() if (teller := _teller()) else []


@hookimpl
def doctor_checks() -> list[Health]:
    """Whether it is on."""
    detail = f"{len(_settings.urls)} receivers" if _settings else "off: WEBHOOK_URLS is not set"
    return [Health(name="webhook", healthy=True, detail=detail)]


@cache
def _teller() -> Teller | None:
    return Teller(_settings) if _settings else None
