"""How the pool of PostgreSQL connections is doing, read from its own counts at each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import Metric

_METRICS: Final = (
    (GaugeMetricFamily, "limit", "pool_max", 1, "Connections there may be."),
    (GaugeMetricFamily, "size", "pool_size", 1, "Connections there are, in use or idle."),
    (GaugeMetricFamily, "available", "pool_available", 1, "Connections that are idle."),
    (GaugeMetricFamily, "waiting", "requests_waiting", 1, "Callers that wait for a connection."),
    (CounterMetricFamily, "requests", "requests_num", 1, "Times that a connection was asked for."),
    (CounterMetricFamily, "requests_queued", "requests_queued", 1, "Times that none was idle."),
    (CounterMetricFamily, "request_errors", "requests_errors", 1, "Times that none was to be had."),
    (CounterMetricFamily, "wait_seconds", "requests_wait_ms", 1000, "Time that callers have waited."),
    (CounterMetricFamily, "use_seconds", "usage_ms", 1000, "Time that connections were in use."),
    (CounterMetricFamily, "connections", "connections_num", 1, "Attempts to connect."),
    (CounterMetricFamily, "connection_errors", "connections_errors", 1, "Attempts that failed."),
    (CounterMetricFamily, "connections_lost", "connections_lost", 1, "Connections found broken."),
)
"""Kind, rest of the name, psycopg_pool's name, its units in one of ours, what it is."""


class PoolCollector(Collector):
    """Tells of the pool that it was last told to ``watch``, and nothing before that."""

    def __init__(self) -> None:
        self._statistics: Callable[[], Mapping[str, int]] | None = None

    def watch(self, statistics: Callable[[], Mapping[str, int]]) -> None:
        """Ask ``statistics`` at each scrape; a count that it leaves out is 0."""
        self._statistics = statistics

    @override
    def collect(self) -> Iterator[Metric]:
        if self._statistics:
            counts = self._statistics()
            for kind, name, key, units, text in _METRICS:
                yield kind(f"tapi_postgres_pool_{name}", text, value=counts.get(key, 0) / units)
