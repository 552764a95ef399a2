"""One plugin as the agent lives with it: called alone, given a limited time, and trusted until it breaks that trust."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from pluggy import PluginManager

from tapi_agent.domain.errors import RejectedError
from tapi_agent.plugin.contribution import Contribution, ask, collect
from tapi_agent.plugin.isolation import Outcome, OwnThread, outcome_of
from tapi_agent.plugin.tracing import traced
from tapi_agent.ports.plugins import Health, PluginReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from datetime import timedelta

    from tapi_agent.plugin.contribution import Declarations
    from tapi_agent.plugin.discovery import Candidate

MOST_FAILURES = 3
"""A plugin whose calls have raised this often is disabled until it is loaded anew."""
_REPAIR = "repair or uninstall the package"

_log = structlog.get_logger(__name__)


class Plugin:
    """A plugin, its thread and its standing with the agent. Disabled means: until it is loaded anew.

    ``brought`` is what it had brought before, when it is loaded anew: that stays known whatever comes of it.
    """

    def __init__(self, candidate: Candidate, *, traced: bool = False, brought: Contribution | None = None) -> None:
        self.candidate = candidate
        self.enabled = True
        self.left_out = False
        self.pending: str | None = None
        self.contribution = brought or Contribution()
        self._traced = traced
        self._problem: str | None = None
        self._fix = ""
        self._failures = 0
        self._turn = asyncio.Lock()
        self._thread = OwnThread(candidate.name)
        # A manager of its own: pluggy stops at the first exception, so no two plugins may share one.
        self._manager = PluginManager("tapi_agent")

    @property
    def hanging(self) -> bool:
        """Whether a call it was left behind in still goes on."""
        return not self.enabled and self._thread.busy

    def begin(self) -> Future[Outcome]:
        """Let it be imported and register, on its own thread."""
        self._thread.start()
        return self._thread.submit(self._watched("loading", {}, partial(collect, self._manager, self.candidate)))

    def join(self, loading: Future[Outcome], declarations: Declarations, *, limit: timedelta) -> Declarations:
        """The declarations with this plugin's; unchanged, and it disabled, when it is bad, slow or in conflict."""
        outcome = outcome_of(loading)
        if outcome.hung or outcome.error is not None:
            self.disable(_problem("loading", outcome, limit), fix=outcome.fix)
            return declarations
        try:
            joined = declarations.extended(self.candidate, outcome.value)
        except RejectedError as conflict:
            self.disable(str(conflict), fix=conflict.fix)
            return declarations
        self.contribution = outcome.value
        return joined

    async def call(self, hook: str, arguments: Mapping[str, object], *, limit: timedelta) -> Any:  # noqa: ANN401 - by the hook
        """What the plugin answers; ``None`` when it is disabled, does not implement the hook, fails or hangs."""
        if hook not in self.contribution.hooks:
            return None
        outcome = await self._ask(hook, arguments, partial(ask, self._manager, hook, arguments), limit=limit)
        return None if outcome is None else self._judge(hook, outcome, limit).value

    async def run(self, action: str, function: Callable[[], object], *, limit: timedelta, may_fail: bool) -> str | None:
        """Call something else that is the plugin's; what went wrong, in words, or ``None``.

        What ``may_fail`` (a sink whose far end is away) is not counted against the plugin when it does.
        """
        outcome = await self._ask(action, {}, function, limit=limit)
        if outcome is None:
            return f"plugin {self.candidate.name} is disabled: {self._problem}"
        if outcome.hung or not may_fail:
            self._judge(action, outcome, limit)
        return _problem(action, outcome, limit) if outcome.hung or outcome.error else None

    def disable(self, problem: str, *, fix: str = "") -> None:
        """Never call it again; one line says why."""
        self.enabled = False
        self._problem = problem
        name = self.candidate.name
        self._fix = f"{fix or _REPAIR}, then: tapi-agent plugins reload; or restart with PLUGINS_DISABLED={name}"
        self._thread.stop()
        _log.error(
            "plugin_disabled",
            plugin=name,
            distribution=self.candidate.distribution,
            problem=problem,
            fix=self._fix,
        )

    def leave_out(self) -> None:
        """The operator does not want it: it is not even imported."""
        self.enabled, self.left_out = False, True
        _log.info("plugin_left_out", plugin=self.candidate.name, distribution=self.candidate.distribution)

    def stop(self) -> None:
        """End its thread, the agent is leaving."""
        self._thread.stop()

    def health(self) -> list[Health]:
        """Its own trouble, when it has any: disabled, or failed when last called."""
        if self._problem is None:
            return []
        fix = self._fix or f"tapi-agent plugins show {self.candidate.name}"
        return [Health(name=self.candidate.name, healthy=False, detail=self._problem, fix=fix)]

    def report(self) -> PluginReport:
        """How it stands, and what it adds while it is part of the catalog."""
        brought, candidate = self.contribution, self.candidate
        return PluginReport(
            name=candidate.name,
            distribution=candidate.distribution,
            version=candidate.version,
            enabled=self.enabled,
            first_party=candidate.first_party,
            error="left out by PLUGINS_DISABLED" if self.left_out else self._problem,
            pending=self.pending,
            failures=self._failures,
            features=tuple(feature.key for feature in brought.features),
            packs=tuple(pack.slug for pack in brought.packs),
            meters=tuple(meter.key for meter in brought.meters),
            quotas=tuple(dict.fromkeys(rule.meter for rule in brought.quotas)),
            jobs=tuple(job.name for job in brought.jobs),
            sinks=tuple(brought.sinks),
            hooks=brought.hooks,
        )

    async def _ask(
        self, action: str, arguments: Mapping[str, object], function: Callable[[], object], *, limit: timedelta
    ) -> Outcome | None:
        async with self._turn:
            if not self.enabled:
                return None
            return await self._thread.call_async(self._watched(action, arguments, function), limit=limit)

    def _watched(
        self, action: str, arguments: Mapping[str, object], function: Callable[[], object]
    ) -> Callable[[], object]:
        return traced(self.candidate.name, action, arguments, function) if self._traced else function

    def _judge(self, action: str, outcome: Outcome, limit: timedelta) -> Outcome:
        if outcome.hung:
            self.disable(_problem(action, outcome, limit))
        elif outcome.error is not None:
            self._fail(_problem(action, outcome, limit), outcome)
        else:
            self._problem = None
        return outcome

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
