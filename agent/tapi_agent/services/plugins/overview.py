"""The plugins' report and health, with what only the services know: what was dropped, which sink lags."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tapi_agent.ports.plugins import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tapi_agent.ports.plugins import PluginReport, Plugins
    from tapi_agent.services.plugins.exporting import Exporting
    from tapi_agent.services.plugins.telling import Telling


class Overview:
    """``ports.plugins.Plugins`` in full."""

    def __init__(self, *, plugins: Plugins, telling: Telling, exporting: Exporting) -> None:
        self._plugins = plugins
        self._telling = telling
        self._exporting = exporting

    def report(self) -> Sequence[PluginReport]:
        """Every plugin found, in the order of loading."""
        dropped = self._telling.dropped()
        return [
            replace(one, dropped=dropped.get(one.name, 0), behind=self._behind(one.name))
            for one in self._plugins.report()
        ]

    async def health(self) -> Sequence[Health]:
        """What the plugins say, then their sinks that wait."""
        return [*await self._plugins.health(), *self._waiting()]

    async def doctor(self) -> Mapping[str, Sequence[Health]]:
        """What examinations find, and the plugin's sinks that wait."""
        found = await self._plugins.doctor()
        return {plugin: [*checks, *self._waiting(plugin)] for plugin, checks in found.items()}

    def _behind(self, plugin: str) -> int | None:
        known = [one.behind for one in self._exporting.standings().values() if one.plugin == plugin]
        return None if None in known or not known else sum(filter(None, known))

    def _waiting(self, plugin: str | None = None) -> Iterator[Health]:
        for key, standing in self._exporting.standings().items():
            if standing.problem and plugin in {None, standing.plugin}:
                behind = "" if standing.behind is None else f" ({standing.behind} events behind)"
                yield Health(
                    name=key,
                    healthy=False,
                    detail=f"{standing.problem}{behind}",
                    fix="nothing is lost: repair what the sink exports to, or the plugin, then reload the plugins",
                )
