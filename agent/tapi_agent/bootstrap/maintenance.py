"""What keeps the database in order, and when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.postgres.retention import PostgresRetention
from tapi_agent.domain.retention import RetentionTerms
from tapi_agent.jobs.table import Job
from tapi_agent.services.maintenance import Maintenance

if TYPE_CHECKING:
    from tapi_agent.bootstrap.core import Core
    from tapi_agent.bootstrap.stores import Stores
    from tapi_agent.bootstrap.usage import Usage
    from tapi_agent.settings import Settings

_TIDY_UP_EVERY: Final = timedelta(hours=1)
_REFRESH_EVERY: Final = timedelta(minutes=15)
_SHED_EVERY: Final = timedelta(seconds=10)
_ONCE_UP: Final = timedelta(seconds=10)
"""As a rule an embedded PostgreSQL answers by then."""
_ONCE_STARTED: Final = timedelta(minutes=2)
"""Until the start has been digested: a box that boots has more urgent things to do."""


def maintenance_jobs(settings: Settings, core: Core, stores: Stores, metered: Usage) -> list[Job]:
    """The part of the schedule that is for the database's own sake."""
    maintenance = _maintenance(settings, core, stores, metered)
    return [
        Job(name="months", verb=maintenance.make_months, interval=_TIDY_UP_EVERY, first=_ONCE_UP),
        Job(name="views", verb=maintenance.refresh_views, interval=_REFRESH_EVERY, first=_ONCE_STARTED),
        Job(name="usage-retention", verb=maintenance.retain_usage, interval=_TIDY_UP_EVERY, first=_ONCE_STARTED),
        Job(name="usage-shedding", verb=maintenance.shed_usage, interval=_SHED_EVERY, first=_ONCE_UP),
        Job(name="history-retention", verb=maintenance.retain_history, interval=_TIDY_UP_EVERY, first=_ONCE_STARTED),
    ]


def _maintenance(settings: Settings, core: Core, stores: Stores, metered: Usage) -> Maintenance:
    return Maintenance(
        upkeep=stores.upkeep,
        retention=PostgresRetention(database=stores.database, device_id=core.subject.device_id),
        spool=metered.spool,
        is_crowded=lambda: metered.space.is_crowded,
        clock=core.clock,
        terms=RetentionTerms(
            usage=settings.usage_keep,
            usage_bytes=settings.usage_db_max_bytes,
            telemetry=settings.telemetry_keep,
        ),
    )
