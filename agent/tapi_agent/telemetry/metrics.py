"""Every metric, defined once, with fixed labels. Who counts imports the name; a label never holds a customer's id."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tapi_agent.telemetry.pool import PoolCollector

EXPOSITION_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

LICENSE_CAMERAS: Final = Gauge("tapi_license_cameras", "Cameras by license state.", ("state",), registry=REGISTRY)
LICENSE_TRANSITIONS: Final = Counter(
    "tapi_license_transitions", "Changes of a subject's license state.", ("old", "new"), registry=REGISTRY
)
LICENSE_REFRESHES: Final = Counter(
    "tapi_license_refresh", "Attempts to hear the billing service on a subject.", ("outcome",), registry=REGISTRY
)
CACHE_HITS: Final = Counter("tapi_cache_hits", "License reads by the tier that answered.", ("tier",), registry=REGISTRY)
ENTITLEMENT_CHECKS: Final = Counter(
    "tapi_entitlement_checks", "Questions whether a feature may be used.", registry=REGISTRY
)
ENTITLEMENT_DECISIONS: Final = Counter(
    "tapi_entitlement_decisions", "Checks whose decision was not in the table yet.", registry=REGISTRY
)
SPOOL_EVENTS: Final = Gauge("tapi_spool_events", "Recorded events not yet in PostgreSQL.", registry=REGISTRY)
USAGE_BACKLOG: Final = Gauge(
    "tapi_usage_backlog",
    "Events of this device by the stretch of their way; dead: dead letters. NaN while PostgreSQL is down.",
    ("stretch",),
    registry=REGISTRY,
)
USAGE_OLDEST: Final = Gauge(
    "tapi_usage_oldest_pending_seconds",
    "Age of the oldest event that is in no batch; 0: there is none.",
    registry=REGISTRY,
)
USAGE_BATCHES: Final = Counter("tapi_usage_batches", "Batches by what became of them.", ("outcome",), registry=REGISTRY)
USAGE_DEAD_LETTERS: Final = Counter(
    "tapi_usage_dead_letters", "Events that cannot be billed and wait for the operator.", registry=REGISTRY
)
USAGE_LATENCY: Final = Histogram(
    "tapi_usage_latency_seconds",
    "From recording to delivery, of the oldest event of each delivered batch.",
    buckets=(1, 5, 15, 60, 150, 300, 600, 3600, 86_400, 604_800),
    registry=REGISTRY,
)
USAGE_LOST: Final = Counter(
    "tapi_usage_lost", "Events that never reach the bill and are no dead letters.", ("kind", "meter"), registry=REGISTRY
)
SPACE_ROOM: Final = Gauge("tapi_space_room", "Room on the disk: 0 full, 1 slow, 2 shed, 3 plenty.", registry=REGISTRY)
DEPENDENCY_UP: Final = Gauge(
    "tapi_dependency_up", "1 when the dependency answered last, 0 when not.", ("dependency",), registry=REGISTRY
)
JOB_RUNS: Final = Counter("tapi_job_runs", "Scheduled runs.", ("job", "outcome"), registry=REGISTRY)
PLUGIN_FAILURES: Final = Counter(
    "tapi_plugin_failures", "Calls in which a plugin raised or ran out of time.", ("plugin",), registry=REGISTRY
)
PLUGIN_EVENTS_DROPPED: Final = Counter(
    "tapi_plugin_events_dropped",
    "Events and batches a plugin was too slow to hear of.",
    ("plugin", "hook"),
    registry=REGISTRY,
)
PLUGIN_SINK_BEHIND: Final = Gauge(
    "tapi_plugin_sink_behind", "Recorded events a plugin's sink has not taken yet.", ("sink",), registry=REGISTRY
)
POSTGRES_POOL: Final = PoolCollector()
REGISTRY.register(POSTGRES_POOL)


def exposition() -> bytes:
    """All of them in the Prometheus text format, to be served as ``EXPOSITION_TYPE``."""
    return generate_latest(REGISTRY)
