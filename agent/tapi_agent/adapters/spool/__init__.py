"""The spool: a SQLite file in which an event is durable before anyone is told that it was recorded (ADR 0030)."""

from __future__ import annotations

from tapi_agent.adapters.spool.spool import SqliteSpool

__all__ = ["SqliteSpool"]
