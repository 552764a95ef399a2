"""What the agent says of itself while it runs: log lines and metrics. The bottom layer: it imports nothing of ours."""

from __future__ import annotations

from tapi_agent.telemetry.logs import LogFile, configure
from tapi_agent.telemetry.metrics import (
    CACHE_HITS,
    DEPENDENCY_UP,
    ENTITLEMENT_CHECKS,
    ENTITLEMENT_DECISIONS,
    EXPOSITION_TYPE,
    JOB_RUNS,
    LICENSE_CAMERAS,
    LICENSE_REFRESHES,
    LICENSE_TRANSITIONS,
    PLUGIN_EVENTS_DROPPED,
    PLUGIN_FAILURES,
    PLUGIN_SINK_BEHIND,
    POSTGRES_POOL,
    SPACE_ROOM,
    SPOOL_EVENTS,
    USAGE_BACKLOG,
    USAGE_BATCHES,
    USAGE_DEAD_LETTERS,
    USAGE_LATENCY,
    USAGE_LOST,
    USAGE_OLDEST,
    exposition,
)
from tapi_agent.telemetry.redaction import redacted, redacted_text

__all__ = [
    "CACHE_HITS",
    "DEPENDENCY_UP",
    "ENTITLEMENT_CHECKS",
    "ENTITLEMENT_DECISIONS",
    "EXPOSITION_TYPE",
    "JOB_RUNS",
    "LICENSE_CAMERAS",
    "LICENSE_REFRESHES",
    "LICENSE_TRANSITIONS",
    "PLUGIN_EVENTS_DROPPED",
    "PLUGIN_FAILURES",
    "PLUGIN_SINK_BEHIND",
    "POSTGRES_POOL",
    "SPACE_ROOM",
    "SPOOL_EVENTS",
    "USAGE_BACKLOG",
    "USAGE_BATCHES",
    "USAGE_DEAD_LETTERS",
    "USAGE_LATENCY",
    "USAGE_LOST",
    "USAGE_OLDEST",
    "LogFile",
    "configure",
    "exposition",
    "redacted",
    "redacted_text",
]
