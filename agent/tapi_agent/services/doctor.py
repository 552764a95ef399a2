"""What is wrong with this agent and its plugins, each thing with what to do about it. Asked by ``tapi-agent doctor``.

Owns no state: it asks those who know. What a plugin examines is its own (``doctor_checks``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.loss import LossKind
from tapi_agent.domain.space import Room

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from tapi_agent.domain.loss import Loss
    from tapi_agent.ports.plugins import Health, Plugins
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.delivery import Backlog
    from tapi_agent.services.losses import Losses
    from tapi_agent.services.space import Space
    from tapi_agent.services.timekeeping import Timekeeper

AGENT: Final = "agent"
_MIB: Final = 1024**2
_STUCK: Final = {
    "ambiguous": ("of which nobody can say yet whether they are billed", "see tapi-agent usage held"),
    "held": ("that the service refused one by one", "see tapi-agent usage held"),
    "dead": ("that will not be billed", "see tapi-agent usage dead-letters; tapi-agent usage replay sends them again"),
}
"""Stretches of the way on which events stay until a person looks."""
_FIXES: Final = {
    LossKind.REFUSED: "callers got an error and may send them again; free space on the disk",
    LossKind.DAMAGED: "the damaged spool is kept beside the new one: send it to support",
    LossKind.ROLLED_BACK: "compare with the bill: tapi-agent usage reconcile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at: whether it is well, in words, and what to do if not. ``source``: agent, or a plugin."""

    source: str
    name: str
    healthy: bool
    detail: str = ""
    fix: str = ""


class Doctor:
    """``unknown_packs`` are those that no plugin knows; ``problems`` sentences about the settings."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        plugins: Plugins,
        connectivity: Connectivity,
        clock: Timekeeper,
        space: Space,
        losses: Losses,
        backlog: Callable[[], Awaitable[Backlog]],
        unknown_packs: Callable[[], Collection[str]],
        problems: Sequence[str] = (),
    ) -> None:
        self._plugins = plugins
        self._connectivity = connectivity
        self._clock = clock
        self._space = space
        self._losses = losses
        self._backlog = backlog
        self._unknown_packs = unknown_packs
        self._problems = problems

    async def examine(self) -> Sequence[Finding]:
        """Everything, the agent's own first. As slow as the slowest plugin; none keeps the others from being heard."""
        examined = await self._plugins.doctor()
        own = [*self._dependencies(), self._time(), self._disk(), *await self._lost()]
        own += [*_of_usage(await self._backlog()), *self._packs()]
        own += [*self._settings(), *self._pending()]
        return own + [_of_plugin(plugin, health) for plugin, checks in examined.items() for health in checks]

    def _dependencies(self) -> Iterator[Finding]:
        for name, report in self._connectivity.report().items():
            said = report.detail or ("not tried yet" if report.up is None else "answers")
            yield Finding(source=AGENT, name=name, healthy=report.up is not False, detail=said, fix=report.fix)

    def _time(self) -> Finding:
        clock = self._clock.describe()
        words = ", ".join(sorted(clock.flags)) or ("confirmed" if clock.confirmed else "not confirmed yet")
        return Finding(source=AGENT, name="clock", healthy=not clock.flags, detail=words, fix=" ".join(clock.fixes))

    def _disk(self) -> Finding:
        found = self._space.report()
        free = "not known yet" if found.free is None else f"{found.free // _MIB} MiB free"
        detail = f"{found.room.name.lower()}, {free}"
        fix = "free space on the disk of the state directory (TAPI_STATE_DIR)"
        return Finding(source=AGENT, name="disk", healthy=found.room is Room.PLENTY, detail=detail, fix=fix)

    async def _lost(self) -> Sequence[Finding]:
        try:
            losses = await self._losses.report()
        except UnavailableError as error:
            return [Finding(source=AGENT, name="losses", healthy=False, detail=str(error), fix=error.fix)]
        return [_of_loss(loss) for loss in losses]

    def _packs(self) -> Iterator[Finding]:
        for pack in sorted(self._unknown_packs()):
            fix = "install the plugin that declares it, then: tapi-agent plugins reload"
            detail = "it is paid for, and no plugin here knows it: it grants nothing"
            yield Finding(source=AGENT, name=f"pack {pack}", healthy=False, detail=detail, fix=fix)

    def _settings(self) -> Iterator[Finding]:
        for problem in self._problems:
            yield Finding(source=AGENT, name="settings", healthy=False, detail=problem, fix="tapi-agent config check")

    def _pending(self) -> Iterator[Finding]:
        for report in self._plugins.report():
            if report.pending:
                fix = "systemctl restart tapi-agent"
                yield Finding(source=report.name, name="package", healthy=False, detail=report.pending, fix=fix)


def _of_usage(backlog: Backlog) -> Iterator[Finding]:
    for stretch, (what, fix) in _STUCK.items():
        if events := backlog.stretches[stretch]:
            yield Finding(
                source=AGENT, name=f"usage {stretch}", healthy=False, detail=f"{events} events {what}", fix=fix
            )
    if backlog.paused:
        said, fix = f"nothing is sent: {backlog.paused.detail}", backlog.paused.reason.fix
        yield Finding(source=AGENT, name="usage delivery", healthy=False, detail=said, fix=fix)
    elif backlog.pending is not None:
        waiting = backlog.spooled + backlog.pending + (backlog.sealed or 0)
        yield Finding(source=AGENT, name="usage delivery", healthy=True, detail=f"{waiting} events on their way")


def _of_loss(loss: Loss) -> Finding:
    quantity = f"{loss.events} events of {loss.meter or 'unknown meters'}, quantity {loss.quantity}"
    detail = f"{quantity}, from {loss.first_at:%Y-%m-%d %H:%M} to {loss.last_at:%Y-%m-%d %H:%M} UTC"
    return Finding(source=AGENT, name=f"usage {loss.kind}", healthy=False, detail=detail, fix=_FIXES[loss.kind])


def _of_plugin(plugin: str, health: Health) -> Finding:
    return Finding(source=plugin, name=health.name, healthy=health.healthy, detail=health.detail, fix=health.fix)
