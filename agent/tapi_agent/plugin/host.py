"""The plugin host: finds plugins, merges what they add, tells them what happens. No plugin can stop it or another.

Owns who is loaded and in which order conflicts are settled. How a plugin is kept apart is ``plugin.plugin`` and
``plugin.isolation``. Built by bootstrap; services see it as ``ports.Publisher``, the API as ``ports.Plugins``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from tapi_agent.plugin.contribution import Declarations
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.plugin import Plugin

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.ports.plugins import Health, PluginReport


class PluginHost:
    """All plugins of this machine; those named in ``disabled`` are left out. Each call may take ``timeout``."""

    def __init__(
        self,
        *,
        disabled: Collection[str] = (),
        timeout: timedelta = timedelta(seconds=5),
        load_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        self._disabled = frozenset(disabled)
        self._timeout = timeout
        self._load_timeout = load_timeout
        self._plugins: list[Plugin] = []

    def load(self) -> Declarations:
        """Import every plugin and merge what they add; in a conflict the earlier one wins. Called once, at start."""
        self._plugins = [Plugin(candidate) for candidate in discover()]
        declarations = Declarations()
        names: dict[str, str] = {}
        for plugin in self._plugins:
            name, distribution = plugin.candidate.name, plugin.candidate.distribution
            if name in self._disabled:
                plugin.leave_out()
            elif names.setdefault(name, distribution) != distribution:
                plugin.disable(f"the name {name} is taken by {names[name]}")
            else:
                declarations = plugin.join(declarations, limit=self._load_timeout)
        return declarations

    def report(self) -> Sequence[PluginReport]:
        """Every plugin found, in the order of loading."""
        return [plugin.report() for plugin in self._plugins]

    async def ask(self, hook: str, **arguments: object) -> list[Any]:
        """Every plugin's answer to a hook, in the order of loading, asked all at once; none from who fails or hangs."""
        calls = (plugin.call(hook, arguments, limit=self._timeout) for plugin in self._plugins)
        return [answer for answer in await asyncio.gather(*calls) if answer is not None]

    async def license_changed(self, change: LicenseChanged) -> None:
        """Tell every plugin; returns when each was told or has failed."""
        await self.ask("license_changed", change=change)

    async def health(self) -> Sequence[Health]:
        """What the plugins say of themselves, then the trouble that the agent has with them."""
        answers = await self.ask("health_checks")
        return [*chain.from_iterable(answers), *chain.from_iterable(plugin.health() for plugin in self._plugins)]

    def close(self) -> None:
        """Let the plugins' threads end."""
        for plugin in self._plugins:
            plugin.stop()
