"""One plugin as the agent lives with it: called alone, given a limited time, and trusted until it breaks that trust."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from pluggy import PluginManager

from tapi_agent.domain.errors import RejectedError
from tapi_agent.plugin.contribution import Contribution, ask, collect
from tapi_agent.plugin.isolation import OwnThread
from tapi_agent.ports.plugins import Health, PluginReport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tapi_agent.plugin.contribution import Declarations
    from tapi_agent.plugin.discovery import Candidate
    from tapi_agent.plugin.isolation import Outcome

MOST_FAILURES = 3
"""A plugin whose hooks have raised this often is disabled until the next start."""

_log = structlog.get_logger(__name__)


class Plugin:
    """A plugin, its thread and its standing with the agent. Disabled means: until the agent starts again."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.enabled = True
        self._contribution = Contribution()
        self._problem: str | None = None
        self._failures = 0
        self._turn = asyncio.Lock()
        self._thread = OwnThread(candidate.name)
        # A manager of its own: pluggy stops at the first exception, so no two plugins may share one.
        self._manager = PluginManager("tapi_agent")

    def join(self, declarations: Declarations, *, limit: timedelta) -> Declarations:
        """The declarations with this plugin's; unchanged, and it disabled, when it is bad, slow or in conflict."""
        self._thread.start()
        outcome = self._thread.call(partial(collect, self._manager, self.candidate), limit=limit)
        if outcome.hung or outcome.error is not None:
            self.disable(_problem("loading", outcome, limit))
            return declarations
        try:
            joined = declarations.extended(self.candidate, outcome.value)
        except RejectedError as conflict:
            self.disable(str(conflict))
            return declarations
        self._contribution = outcome.value
        return joined

    async def call(self, hook: str, arguments: Mapping[str, object], *, limit: timedelta) -> Any:  # noqa: ANN401 - by the hook
        """What the plugin answers; ``None`` when it is disabled, does not implement the hook, fails or hangs."""
        if hook not in self._contribution.hooks:
            return None
        async with self._turn:
            if not self.enabled:
                return None
            outcome = await self._thread.call_async(partial(ask, self._manager, hook, arguments), limit=limit)
            return self._judge(hook, outcome, limit)

    def disable(self, problem: str) -> None:
        """Never call it again; one line says why."""
        self.enabled = False
        self._problem = problem
        self._thread.stop()
        _log.error(
            "plugin_disabled",
            plugin=self.candidate.name,
            distribution=self.candidate.distribution,
            problem=problem,
            fix="repair or uninstall the package, or name the plugin in PLUGINS_DISABLED; then restart",
        )

    def leave_out(self) -> None:
        """The operator does not want it: it is not even imported."""
        self.enabled = False
        _log.info("plugin_left_out", plugin=self.candidate.name, distribution=self.candidate.distribution)

    def stop(self) -> None:
        """End its thread, the agent is leaving."""
        self._thread.stop()

    def health(self) -> list[Health]:
        """Its own trouble, when it has any: disabled, or failed when last called."""
        if self._problem is None:
            return []
        return [Health(name=self.candidate.name, healthy=False, detail=self._problem, fix="tapi-agent plugins")]

    def report(self) -> PluginReport:
        """How it stands, and what it adds while it is part of the catalog."""
        return PluginReport(
            name=self.candidate.name,
            distribution=self.candidate.distribution,
            version=self.candidate.version,
            enabled=self.enabled,
            error=self._problem if self.enabled or self._problem else "left out by PLUGINS_DISABLED",
            failures=self._failures,
            features=tuple(feature.key for feature in self._contribution.features),
            packs=tuple(pack.slug for pack in self._contribution.packs),
            meters=tuple(meter.key for meter in self._contribution.meters),
            hooks=self._contribution.hooks,
        )

    def _judge(self, hook: str, outcome: Outcome, limit: timedelta) -> Any:  # noqa: ANN401 - by the hook
        if outcome.hung:
            self.disable(_problem(hook, outcome, limit))
        elif outcome.error is not None:
            self._fail(_problem(hook, outcome, limit), outcome)
        else:
            self._problem = None
        return outcome.value

    def _fail(self, problem: str, outcome: Outcome) -> None:
        self._failures += 1
        self._problem = problem
        name = self.candidate.name
        _log.warning(
            "plugin_failed", plugin=name, problem=problem, failures=self._failures, traceback=outcome.traceback
        )
        if self._failures >= MOST_FAILURES:
            self.disable(f"{problem} ({self._failures} failures)")


def _problem(action: str, outcome: Outcome, limit: timedelta) -> str:
    if outcome.hung:
        return f"{action} did not end within {limit.total_seconds():g} s"
    return f"{action} failed: {outcome.error}"
