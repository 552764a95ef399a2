"""Every hook of the specification is documented, and called here with all its arguments (after datasette's tests)."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

import tapi_agent
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, EventId, TenantId
from tapi_agent.plugin import (
    Feature,
    GrowthPack,
    Health,
    LicenseChanged,
    LicenseState,
    Meter,
    QuotaRule,
    Reason,
    Subject,
    UsageEvent,
    UsageSample,
    UsageSink,
    WireBatch,
)
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost
from tapi_agent.plugin.spec import HOOKS, Hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Site = Any

DOCUMENT = (Path(__file__).parents[3] / "docs" / "hooks.md").read_text()
PACKAGE = Path(tapi_agent.__file__).parent
CALLERS = [
    file.read_text()
    for folder in ("api", "bootstrap", "cli", "plugin", "ports", "services")
    for file in (PACKAGE / folder).rglob("*.py")
    if file.name != "spec.py" and "inspection" not in file.parts
]
AT = datetime(2026, 1, 2, tzinfo=UTC)
ONE_OF_EACH = """
    from datetime import timedelta
    from decimal import Decimal
    HEARD = {}

    @hookimpl
    def register_features():
        return [Feature(key="all.feature")]

    @hookimpl
    def register_packs():
        return [GrowthPack(slug="all", title="All", features=frozenset({"all.feature"}))]

    @hookimpl
    def register_meters():
        return [Meter(key="all_meter", unit="things")]

    @hookimpl
    def register_quotas():
        return [QuotaRule(meter="all_meter", limit=10)]

    @hookimpl
    def register_jobs():
        return [Job(name="sweep", every=timedelta(hours=1), run=HEARD.clear)]

    @hookimpl
    def collect_usage(meter, since, until):
        HEARD["collect_usage"] = (meter, since, until)
        yield UsageSample(resource_id="disk", quantity=Decimal("1.5"), at=until)

    @hookimpl
    def license_changed(change):
        HEARD["license_changed"] = (change,)

    @hookimpl
    def usage_recorded(event):
        HEARD["usage_recorded"] = (event,)

    @hookimpl
    def usage_delivered(batch):
        HEARD["usage_delivered"] = (batch,)

    class Sink:
        name = "archive"

        def send(self, events):
            HEARD["sent"] = events

    @hookimpl
    def usage_sink():
        return Sink()

    @hookimpl
    def health_checks():
        return [Health(name="all", healthy=True)]

    @hookimpl
    def doctor_checks():
        return [Health(name="disk", healthy=False, detail="full", fix="delete something")]

    @hookimpl
    def cli_commands():
        return [Command(name="all", help="Do it.", run=len)]
"""
METER = Meter(key="all_meter", unit="things")
CHANGE = LicenseChanged(
    edge_id=UUID(int=7),
    subject=Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam-1")),
    old=LicenseState.VALID,
    new=LicenseState.OFFLINE,
    reason=Reason.AUTHORITY_UNREACHABLE,
    at=AT,
)
EVENT = UsageEvent(
    event_id=EventId(UUID(int=8)),
    tenant_id=TenantId("acme"),
    device_id=DeviceId("box"),
    camera_id=CameraId("cam-1"),
    event_type="all_meter",
    resource_id="",
    resource_type="",
    quantity=Decimal(1),
    unit="things",
    billable=True,
    event_time=AT,
    recorded_at=AT,
    corrects=None,
    canonical="{}",
)
BATCH = WireBatch(batch_id=BatchId(UUID(int=9)), body=b"{}")
HEALTH = Health(name="disk", healthy=False, detail="full", fix="delete something")

EXERCISES: dict[str, tuple[dict[str, object], Callable[[Any], bool]]] = {
    "register_features": ({}, [[Feature(key="all.feature")]].__eq__),
    "register_packs": ({}, [[GrowthPack(slug="all", title="All", features=frozenset({"all.feature"}))]].__eq__),
    "register_meters": ({}, [[METER]].__eq__),
    "register_quotas": ({}, [[QuotaRule(meter="all_meter", limit=10, period="month", soft=False)]].__eq__),
    "register_jobs": ({}, lambda answers: [job.every for job in answers[0]] == [timedelta(hours=1)]),
    "collect_usage": (
        {"meter": METER, "since": AT, "until": AT + timedelta(days=1)},
        [[UsageSample(resource_id="disk", quantity=Decimal("1.5"), at=AT + timedelta(days=1))]].__eq__,
    ),
    "license_changed": ({"change": CHANGE}, [].__eq__),
    "usage_recorded": ({"event": EVENT}, [].__eq__),
    "usage_delivered": ({"batch": BATCH}, [].__eq__),
    "usage_sink": ({}, lambda answers: isinstance(answers[0], UsageSink) and answers[0].name == "archive"),
    "health_checks": ({}, [[Health(name="all", healthy=True)]].__eq__),
    "doctor_checks": ({}, [[HEALTH]].__eq__),
    "cli_commands": ({}, lambda answers: answers[0][0].run(["a", "b"]) == 2),
}


@pytest.fixture
def host(site: Site) -> Iterator[PluginHost]:
    site.install("all-hooks", all_hooks=ONE_OF_EACH)
    host = PluginHost(disabled={candidate.name for candidate in discover()} - {"all-hooks"})
    host.load()
    yield host
    host.close()


@pytest.mark.parametrize("hook", HOOKS)
async def test_every_hook_is_exercised(host: PluginHost, hook: str) -> None:
    arguments, as_expected = EXERCISES[hook]
    assert as_expected(await host.ask(hook, **arguments))
    import plugin_under_test_all_hooks as plugin  # noqa: PLC0415 - written by this test

    assert plugin.HEARD.get(hook, ()) == tuple(arguments.values())
    assert [report.failures for report in host.report() if report.name == "all-hooks"] == [0]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_agent_calls_every_hook(hook: str) -> None:
    """By its name, somewhere outside the specification; what comes of the call is tested where it is made."""
    assert any(f'"{hook}"' in source for source in CALLERS)


def test_there_is_nothing_but_hooks_to_exercise() -> None:
    assert set(EXERCISES) == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_signature(hook: str) -> None:
    section = DOCUMENT.partition(f"### {hook}\n")[2].partition("\n### ")[0]
    assert signature(hook) in section
    assert "```python\n@hookimpl\n" in section


def test_the_document_says_of_each_hook_when_it_is_called_and_what_a_failure_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", DOCUMENT, re.MULTILINE)
    assert [hook for hook, called, failure in rows if called.strip() and failure.strip()] == list(HOOKS)


def test_no_document_speaks_of_hooks_that_are_gone() -> None:
    titles = [line.removeprefix("### ") for line in DOCUMENT.splitlines() if line.startswith("### ")]
    assert titles == list(HOOKS)


def signature(hook: str) -> str:
    """``def license_changed(change: LicenseChanged) -> None`` as a plugin author would write it."""
    parameters = list(inspect.signature(getattr(Hooks, hook)).parameters.values())[1:]
    arguments = ", ".join(f"{parameter.name}: {parameter.annotation}" for parameter in parameters)
    return f"def {hook}({arguments}) -> {inspect.signature(getattr(Hooks, hook)).return_annotation}:"
