"""The hooks as services call them (``ports.hooks``): what is done on a plugin's thread in one hop, and what it gave."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import RejectedError
from tapi_agent.ports.hooks import Hearing, PluginJob, SinkOffer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from tapi_agent.domain.collection import Span
    from tapi_agent.domain.usage import Meter, UsageEvent
    from tapi_agent.plugin.contribution import Contribution
    from tapi_agent.plugin.host import PluginHost
    from tapi_agent.ports.hooks import Heard, UsageSample

_ARGUMENT: Final = {Hearing.RECORDED: "event", Hearing.DELIVERED: "batch"}
_COLLECT: Final = "collect_usage"
_MOST_SAMPLES: Final = 10_000


class HookCalls:
    """``ports.hooks`` for the plugins that are enabled at the time of each call, which may take ``timeout``."""

    def __init__(self, host: PluginHost, *, monotonic: Callable[[], float], timeout: timedelta) -> None:
        self._host = host
        self._monotonic = monotonic
        self._patience = timeout.total_seconds() / 2

    def sampled(self) -> Sequence[tuple[str, Meter]]:
        """Meters with ``every``; of several plugins with the same one the first is asked."""
        declared: dict[str, tuple[str, Meter]] = {}
        for name, brought in self._host.brought().items():
            for meter in brought.meters if _COLLECT in brought.hooks else ():
                if meter.every is not None:
                    declared.setdefault(meter.key, (name, meter))
        return list(declared.values())

    async def sample(self, plugin: str, meter: Meter, span: Span) -> Sequence[UsageSample] | None:
        """What was used in the span."""
        arguments = {"meter": meter, "since": span.since, "until": span.until}
        samples = await self._host.ask_one(plugin, _COLLECT, **arguments)
        return None if samples is None else samples[:_MOST_SAMPLES]

    async def blame(self, plugin: str, problem: str) -> None:
        """One failure more."""
        await self._host.run_one(plugin, _COLLECT, partial(_refuse, problem))

    def listening(self, hearing: Hearing) -> Sequence[str]:
        """Who implements the hook."""
        return [name for name, brought in self._host.brought().items() if hearing in brought.hooks]

    async def tell(self, plugin: str, hearing: Hearing, items: Sequence[Heard]) -> int:
        """Tell a plugin of these; what a failure or half the time limit leaves over is for the next call."""
        brought = self._host.brought().get(plugin)
        if brought is None:
            return len(items)
        telling = _Telling(brought, hearing, items, monotonic=self._monotonic)
        await self._host.run_one(plugin, hearing, partial(telling.run, self._patience))
        return telling.done

    def jobs(self) -> Sequence[PluginJob]:
        """Those of all plugins that are enabled."""
        return [
            PluginJob(plugin=name, name=job.name, every=job.every)
            for name, brought in self._host.brought().items()
            for job in brought.jobs
        ]

    async def work(self, plugin: str, job: str) -> None:
        """Do it once."""
        brought = self._host.brought().get(plugin)
        for known in brought.jobs if brought else ():
            if known.name == job:
                await self._host.run_one(plugin, f"job {job}", known.run)

    def sinks(self) -> Sequence[SinkOffer]:
        """Those of plugins that are enabled."""
        return [
            SinkOffer(plugin=plugin, name=name, since_beginning=target.since_beginning)
            for plugin, brought in self._host.brought().items()
            for name, target in brought.sinks.items()
        ]

    async def send(self, sink: SinkOffer, events: Sequence[UsageEvent]) -> str | None:
        """Raising is how a sink says that its far end is away; only to hang is held against the plugin."""
        brought = self._host.brought().get(sink.plugin)
        if brought is None or sink.name not in brought.sinks:
            return "its plugin is disabled, or does not have it any more"
        send = partial(brought.sinks[sink.name].send, events)
        return await self._host.run_one(sink.plugin, "usage_sink", send, may_fail=True)


class _Telling:
    """A batch on its way into a plugin; an item is ``done`` with once the plugin has begun on it."""

    def __init__(
        self, brought: Contribution, hearing: Hearing, items: Sequence[Heard], *, monotonic: Callable[[], float]
    ) -> None:
        self._brought, self._hearing, self._items = brought, hearing, items
        self._monotonic = monotonic
        self.done = 0

    def run(self, patience: float) -> None:
        """On the plugin's thread, for ``patience`` seconds: slow is not hung, the time limit is for one item."""
        end = self._monotonic() + patience
        for item in self._items:
            self.done += 1
            self._brought.ask(self._hearing, {_ARGUMENT[self._hearing]: item})
            if self._monotonic() > end:
                return


def _refuse(problem: str) -> None:
    raise RejectedError(problem, code="malformed_answer")
