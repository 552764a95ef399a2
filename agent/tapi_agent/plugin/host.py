"""The plugin host: finds plugins, merges what they add, tells them what happens. No plugin can stop it or another.

Owns who is loaded and in which order conflicts are settled. How a plugin is kept apart is ``plugin.plugin`` and
``plugin.isolation``. Built by bootstrap; services see it as ``ports.Publisher``, the API as ``ports.Plugins``.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.plugin.contribution import Declarations
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.isolation import OwnThread
from tapi_agent.plugin.loading import Look, forget, load_all
from tapi_agent.plugin.plugin import Plugin
from tapi_agent.plugin.succession import sort_out
from tapi_agent.plugin.tracing import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Future

    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.plugin.contribution import Contribution
    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.isolation import Outcome
    from tapi_agent.ports.plugins import Health, PluginReport

T = TypeVar("T")

DOCTOR_TIMEOUT = timedelta(seconds=20)
"""For a doctor check, which may send something somewhere."""


class PluginHost:
    """All plugins of this machine; those named in ``disabled`` are left out. Each call may take ``timeout``.

    ``trace`` names the plugins whose calls are logged, or ``all``.
    """

    def __init__(
        self,
        *,
        disabled: Collection[str] = (),
        trace: Collection[str] = (),
        timeout: timedelta = timedelta(seconds=5),
        load_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        self._disabled = frozenset(disabled)
        self._trace = frozenset(trace)
        self._timeout = timeout
        self._load_timeout = load_timeout
        self._plugins: list[Plugin] = []
        self._declarations = Declarations()
        self._look = Look()
        self._adopters: list[Callable[[Declarations], None]] = []
        self._reloading = asyncio.Lock()

    def load(self) -> Declarations:
        """Import every plugin and merge what they add; in a conflict the earlier one wins. Called once, at start."""
        self._plugins = [self._plugin(candidate) for candidate in discover()]
        wanted = self._wanted(self._plugins, taken={})
        return self._join(wanted, load_all(wanted, limit=self._load_timeout))

    def on_reload(self, adopt: Callable[[Declarations], None]) -> None:
        """Call ``adopt`` with everything that is declared by then, whenever plugins were loaded anew."""
        self._adopters.append(adopt)

    async def reload(self) -> Declarations:
        """Load what was installed since, try again what is disabled, keep what runs; nothing known is forgotten.

        Raises ``UnavailableError`` when the installed packages cannot be looked through.
        """
        async with self._reloading:
            stay, trials = sort_out(self._plugins, await _aside(self._look.again, limit=self._load_timeout))
            forget(trials, running=(plugin.candidate for plugin in stay))
            tried = [self._plugin(candidate, brought) for candidate, brought in trials.items()]
            taken = {plugin.candidate.name: plugin.candidate.distribution for plugin in stay}
            wanted = self._wanted(tried, taken=taken)
            loading = partial(load_all, wanted, limit=self._load_timeout)
            loadings = await _aside(loading, limit=self._load_timeout * (len(wanted) + 1))
            self._plugins = [*stay, *tried]
            declarations = self._join(wanted, loadings)
            for adopt in self._adopters:
                adopt(declarations)
            return declarations

    def report(self) -> Sequence[PluginReport]:
        """Every plugin found, in the order of loading."""
        return [plugin.report() for plugin in self._plugins]

    def brought(self) -> Mapping[str, Contribution]:
        """What the plugins that are enabled have brought, by their names, in the order of loading."""
        return {plugin.candidate.name: plugin.contribution for plugin in self._plugins if plugin.enabled}

    async def ask(self, hook: str, **arguments: object) -> list[Any]:
        """Every plugin's answer to a hook, in the order of loading, asked all at once; none from who fails or hangs."""
        calls = (plugin.call(hook, arguments, limit=self._timeout) for plugin in self._plugins)
        return [answer for answer in await asyncio.gather(*calls) if answer is not None]

    async def ask_one(self, name: str, hook: str, **arguments: object) -> Any:  # noqa: ANN401 - by the hook
        """One plugin's answer; ``None`` when it is not there, does not implement the hook, fails or hangs."""
        plugin = self._named(name)
        return None if plugin is None else await plugin.call(hook, arguments, limit=self._timeout)

    async def run_one(
        self, name: str, action: str, work: Callable[[], object], *, may_fail: bool = False
    ) -> str | None:
        """Do a plugin's work, such as a job's, on its thread; what went wrong, in words, or ``None``.

        ``action`` names it in messages. ``may_fail``: a failure is expected now and then (a far end that is away), so
        it is not counted against the plugin; to hang always is.
        """
        plugin = self._named(name)
        if plugin is None:
            return f"plugin {name} is not enabled"
        return await plugin.run(action, work, limit=self._timeout, may_fail=may_fail)

    async def license_changed(self, change: LicenseChanged) -> None:
        """Tell every plugin; returns when each was told or has failed."""
        await self.ask("license_changed", change=change)

    async def health(self) -> Sequence[Health]:
        """What the plugins say of themselves, then the trouble that the agent has with them."""
        answers = await self.ask("health_checks")
        return [*chain.from_iterable(answers), *chain.from_iterable(plugin.health() for plugin in self._plugins)]

    async def doctor(self) -> Mapping[str, Sequence[Health]]:
        """What every plugin's health and doctor checks say, and the agent's own trouble with it, by its name."""
        findings = await asyncio.gather(*map(_examined, self._plugins))
        return {plugin.candidate.name: found for plugin, found in zip(self._plugins, findings, strict=True)}

    def close(self) -> None:
        """Let the plugins' threads end."""
        for plugin in self._plugins:
            plugin.stop()

    def _plugin(self, candidate: Candidate, brought: Contribution | None = None) -> Plugin:
        return Plugin(candidate, traced=not self._trace.isdisjoint({candidate.name, ALL}), brought=brought)

    def _wanted(self, plugins: Sequence[Plugin], *, taken: Mapping[str, str]) -> list[Plugin]:
        """Those that are to be loaded; of those that share a name the first, of those left out none."""
        names = dict(taken)
        for plugin in plugins:
            name, distribution = plugin.candidate.name, plugin.candidate.distribution
            if name in self._disabled:
                plugin.leave_out()
            elif names.setdefault(name, distribution) != distribution:
                plugin.disable(f"the name {name} is taken by {names[name]}")
        return [plugin for plugin in plugins if plugin.enabled]

    def _join(self, plugins: Sequence[Plugin], loadings: Sequence[Future[Outcome]]) -> Declarations:
        for plugin, loading in zip(plugins, loadings, strict=True):
            self._declarations = plugin.join(loading, self._declarations, limit=self._load_timeout)
        return self._declarations

    def _named(self, name: str) -> Plugin | None:
        return next((one for one in self._plugins if one.candidate.name == name and one.enabled), None)


async def _examined(plugin: Plugin) -> list[Health]:
    checks = [await plugin.call(hook, {}, limit=DOCTOR_TIMEOUT) or [] for hook in ("health_checks", "doctor_checks")]
    return [*chain.from_iterable(checks), *plugin.health()]


async def _aside(work: Callable[[], T], *, limit: timedelta) -> T:
    """Off the event loop, on a daemon thread: what is installed there may hang as well, and must not keep the agent."""
    thread = OwnThread("loader")
    thread.start()
    outcome = await thread.call_async(work, limit=limit)
    thread.stop()
    if outcome.hung or outcome.error:
        raise UnavailableError(
            f"the plugins could not be loaded anew: {outcome.error or 'looking for them did not end'}",
            fix="restart the agent: systemctl restart tapi-agent",
        )
    value: T = outcome.value
    return value
