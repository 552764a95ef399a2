"""Storage meter: what the folders of STORAGE_METER_PATHS take, in gigabyte-days, once an hour.

A job walks the folders, each on a thread of its own; when the agent asks what was used, the last sizes answer. The
hooks are below; what becomes of the samples is the agent's.
"""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from time import monotonic
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health, Job, Meter, UsageSample, hookimpl
from tapi_storage_meter.gauge import Gauge
from tapi_storage_meter.settings import SETTING, folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

METER: Final = Meter(
    key="storage_gb_days",
    unit="gb_days",
    switch="TRACK_STORAGE",
    description="gigabytes kept for a day",
    every=timedelta(hours=1),
)
_DAY: Final = timedelta(days=1)
_MEASURE_EVERY: Final = timedelta(minutes=30)
_FIRST_WALK_S: Final = 3.0
"""What a first walk may hold up ``collect_usage``, which has 5 s."""

_gauges = tuple(map(Gauge, folders(os.environ)))


def gb_days(size: int, window: timedelta) -> Decimal:
    """``size`` bytes kept for ``window``, rounded once, to 9 decimals: a byte kept for a day is one of the last."""
    return Decimal(round(size * Fraction(window // timedelta.resolution, _DAY // timedelta.resolution))).scaleb(-9)


@hookimpl
def register_meters() -> list[Meter]:
    """The agent's own meter, with the hour in which it is read."""
    return [METER]


@hookimpl
def register_jobs() -> list[Job]:
    """Keeps the sizes young."""
    return [Job(name="measure", every=_MEASURE_EVERY, run=_measure)] if _gauges else []


@hookimpl
def collect_usage(since: datetime, until: datetime) -> Iterator[UsageSample]:
    """A sample for each folder that was ever measured, on the day that its window begins."""
    deadline = monotonic() + _FIRST_WALK_S
    _measure()
    for gauge in _gauges:
        gauge.await_first(until=deadline)
        if (size := gauge.size) is not None:
            yield UsageSample(resource_id=gauge.folder, quantity=gb_days(size.allocated, until - since), at=since)


@hookimpl
def health_checks() -> list[Health]:
    """One for each folder."""
    return [gauge.health() for gauge in _gauges]


@hookimpl
def doctor_checks() -> list[Health]:
    """Whether there is anything to measure."""
    detail = ", ".join(gauge.folder for gauge in _gauges) or f"off: {SETTING} is not set"
    return [Health(name="storage meter", healthy=True, detail=detail)]


def _measure() -> None:
    for gauge in _gauges:
        gauge.start()
