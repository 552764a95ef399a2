"""The hooks: what a plugin may implement, with exact signatures. docs/hooks.md explains each; a test compares both.

An implementation may take a subset of the arguments. What it returns must be what is annotated here, or it counts as a
failure. No hook can turn a denial into a permission.
"""
# ruff: noqa: TC001, TC003 - the annotations are read at run time: they decide what a plugin may return

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from pluggy import HookspecMarker

from tapi_agent.plugin import (
    Command,
    Feature,
    GrowthPack,
    Health,
    Job,
    LicenseChanged,
    Meter,
    QuotaRule,
    UsageEvent,
    UsageSample,
    UsageSink,
    WireBatch,
)

hookspec = HookspecMarker("tapi_agent")


class Hooks(Protocol):
    """Every hook. Registrations are asked for once, at start; the others as their text says."""

    @hookspec
    def register_features(self) -> list[Feature]:
        """Features that applications may then ask for."""
        ...

    @hookspec
    def register_packs(self) -> list[GrowthPack]:
        """Growth packs that sell the plugin's own features."""
        ...

    @hookspec
    def register_meters(self) -> list[Meter]:
        """Meters that usage may then be recorded on."""
        ...

    @hookspec
    def register_quotas(self) -> list[QuotaRule]:
        """Limits on meters."""
        ...

    @hookspec
    def register_jobs(self) -> list[Job]:
        """Periodic work."""
        ...

    @hookspec
    def collect_usage(self, meter: Meter, since: datetime, until: datetime) -> Iterable[UsageSample]:
        """What was used on one of the plugin's meters from ``since`` up to but without ``until``."""
        ...

    @hookspec
    def license_changed(self, change: LicenseChanged) -> None:
        """A subject went from one license state to another. Told at least once; ``edge_id`` tells repeats apart."""
        ...

    @hookspec
    def usage_recorded(self, event: UsageEvent) -> None:
        """An event was acknowledged."""
        ...

    @hookspec
    def usage_delivered(self, batch: WireBatch) -> None:
        """A batch was settled with the billing service."""
        ...

    @hookspec
    def usage_sink(self) -> UsageSink | None:
        """An extra export target, or ``None``."""
        ...

    @hookspec
    def health_checks(self) -> list[Health]:
        """How the plugin is now; asked whenever somebody looks at the agent's health."""
        ...

    @hookspec
    def doctor_checks(self) -> list[Health]:
        """Slower examinations for ``tapi-agent doctor``."""
        ...

    @hookspec
    def cli_commands(self) -> list[Command]:
        """Subcommands of ``tapi-agent``."""
        ...


HOOKS: tuple[str, ...] = tuple(name for name in vars(Hooks) if hasattr(getattr(Hooks, name), "tapi_agent_spec"))
"""Their names, in the order of declaration."""
