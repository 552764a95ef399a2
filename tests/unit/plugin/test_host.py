"""The host against real little distributions: good ones, and every kind of bad one."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Reason, Subject
from tapi_agent.domain.usage import Meter
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tapi_agent.ports.plugins import PluginReport

    Site = Any

CHANGE = LicenseChanged(
    edge_id=UUID(int=7),
    subject=Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam-1")),
    old=LicenseState.VALID,
    new=LicenseState.OFFLINE,
    reason=Reason.AUTHORITY_UNREACHABLE,
    at=datetime(2026, 1, 2, tzinfo=UTC),
)
GOOD = """
    HEARD = []

    @hookimpl
    def register_features():
        return [Feature(key="good.feature"), Feature(key="good.kept", on_expired=OnExpired.KEEP)]

    @hookimpl
    def register_packs():
        return [GrowthPack(slug="good_pack", title="Good Pack", features=frozenset({"good.feature"}))]

    @hookimpl
    def register_meters():
        return [Meter(key="good_meter", unit="things")]

    @hookimpl
    def license_changed(change):
        HEARD.append(change)

    @hookimpl
    def health_checks():
        return [Health(name="good", healthy=True, detail=f"heard {len(HEARD)}")]
"""
HANGS = """
    from threading import Event
    RELEASE = Event()
    CALLS = []
"""


INSTALLED = {candidate.name for candidate in discover()} - {"base-catalog"}
"""Plugins of this environment: left out, these tests bring their own."""


class Loaded:
    """A host after loading, with what it logged."""

    def __init__(self, host: PluginHost) -> None:
        self.host = host
        with capture_logs() as entries:
            self.declarations = host.load()
        self.errors = [entry for entry in entries if entry["log_level"] == "error"]

    def report(self, name: str) -> PluginReport:
        return next(report for report in self.host.report() if report.name == name)

    @property
    def order(self) -> list[str]:
        return [report.name for report in self.host.report() if report.name not in INSTALLED]


@pytest.fixture
def hosts() -> Iterator[list[PluginHost]]:
    made: list[PluginHost] = []
    yield made
    for host in made:
        host.close()


@pytest.fixture
def load(hosts: list[PluginHost]) -> Any:
    def load(*, disabled: Collection[str] = (), **settings: Any) -> Loaded:
        hosts.append(PluginHost(disabled=INSTALLED.union(disabled), **settings))
        return Loaded(hosts[-1])

    return load


@pytest.fixture
def good(site: Site) -> None:
    site.install("good-things", good=GOOD, version="2.5")


def test_the_base_catalog_comes_through_the_public_entry_point(load: Any) -> None:
    loaded = load()
    report = loaded.report("base-catalog")
    assert (report.distribution, report.enabled, report.error) == ("tapi-agent", True, None)
    assert set(report.packs) == set(loaded.declarations.catalog.packs)
    assert set(report.features) == set(loaded.declarations.catalog.features)
    assert set(report.meters) == set(loaded.declarations.meters)
    assert loaded.errors == []


@pytest.mark.usefixtures("good")
def test_what_a_good_plugin_registers_is_there_and_reported(load: Any) -> None:
    loaded = load()
    report = loaded.report("good")
    assert (report.distribution, report.version, report.enabled, report.failures) == ("good-things", "2.5", True, 0)
    assert report.features == ("good.feature", "good.kept")
    assert (report.packs, report.meters) == (("good_pack",), ("good_meter",))
    assert report.hooks == (
        "register_features",
        "register_packs",
        "register_meters",
        "license_changed",
        "health_checks",
    )
    assert loaded.declarations.catalog.packs["good_pack"].features == {"good.feature"}
    assert loaded.declarations.catalog.sources["good.kept"] == "good"
    assert loaded.declarations.meters["good_meter"].unit == "things"


def test_first_party_comes_first_then_the_alphabet_of_distributions(site: Site, load: Any) -> None:
    for distribution, plugin in (("zebra", "a"), ("Alpha.Things", "z"), ("alpha-others", "m")):
        site.install(distribution, **{plugin: "@hookimpl\ndef license_changed(): pass"})
    assert load().order == ["base-catalog", "m", "z", "a"]


BAD_AT_LOAD = {
    "import fails": ("raise RuntimeError('no GPU')", "loading failed: RuntimeError: no GPU"),
    "dependency missing": (
        "import no_such_dependency",
        "loading failed: the module 'no_such_dependency', which distribution bad-things needs, is not installed",
    ),
    "syntax error": ("def (", "loading failed: SyntaxError: "),
    "exits": ("import sys; sys.exit(3)", "loading failed: SystemExit: 3"),
    "no hook": ("def register_features(): return []", "loading failed: it implements no hook: "),
    "misspelt hook": (
        "@hookimpl\ndef license_chnaged(change): pass",
        "loading failed: unknown hook 'license_chnaged': did you mean license_changed?",
    ),
    "unknown argument": ("@hookimpl\ndef license_changed(chnage): pass", "Argument(s) {'chnage'} are declared"),
    "registration raises": ("@hookimpl\ndef register_features(): 1 / 0", "loading failed: ZeroDivisionError: "),
    "bad key": ("@hookimpl\ndef register_features(): return [Feature(key='A b')]", "feature key 'A b' does not match"),
    "rubbish": ("@hookimpl\ndef register_features(): return 42", "register_features() gave int: "),
    "nothing returned": ("@hookimpl\ndef register_packs(): pass", "register_packs() gave NoneType: "),
    "rubbish in a list": ("@hookimpl\ndef register_meters(): return ['x']", "register_meters()[0] gave str: "),
    "rubbish in a value": (
        "@hookimpl\ndef register_features(): return [Feature(key='a.b', min_tier='gold')]",
        "register_features()[0].min_tier gave str: ",
    ),
    "endless generator": (
        "import itertools\n@hookimpl\ndef register_features(): return (Feature(key='a.b') for _ in itertools.count())",
        "register_features() gave generator: ",
    ),
    "meter without unit": (
        "@hookimpl\ndef register_meters(): return [Meter(key='x', unit='')]",
        "needs a key and a unit",
    ),
    "meter key": ("@hookimpl\ndef register_meters(): return [Meter(key='X y', unit='z')]", "needs a key and a unit"),
    "feature with another meaning": (
        "@hookimpl\ndef register_features(): return [Feature(key='analytics.heatmap', on_expired=OnExpired.KEEP)]",
        "analytics.heatmap is already declared by base-catalog with another meaning",
    ),
    "meter in another unit": (
        "@hookimpl\ndef register_meters(): return [Meter(key='llm_tokens', unit='words')]",
        "meter llm_tokens is already declared by base-catalog in tokens, not words",
    ),
    "meter twice": (
        "@hookimpl\ndef register_meters(): return [Meter(key='x', unit='a'), Meter(key='x', unit='b')]",
        "meter x is already declared by the same plugin in a, not b",
    ),
    "sells what is not its own": (
        """
        @hookimpl
        def register_packs():
            return [GrowthPack(slug="free", title="Free", features=frozenset({"llm.automated_reports"}))]
        """,
        "pack free sells llm.automated_reports, which belongs to base-catalog",
    ),
}


@pytest.mark.usefixtures("good")
@pytest.mark.parametrize(("source", "problem"), BAD_AT_LOAD.values(), ids=BAD_AT_LOAD)
def test_a_bad_plugin_disables_itself_alone_with_one_error_line(
    site: Site, load: Any, source: str, problem: str
) -> None:
    site.install("bad-things", bad=source)
    loaded = load()
    report = loaded.report("bad")
    assert not report.enabled
    assert problem in report.error
    assert (report.features, report.packs, report.meters) == ((), (), ())
    assert [(line["event"], line["plugin"], line["distribution"]) for line in loaded.errors] == [
        ("plugin_disabled", "bad", "bad-things")
    ]
    assert loaded.errors[0]["problem"] == report.error
    assert "PLUGINS_DISABLED" in loaded.errors[0]["fix"]
    assert loaded.report("good").enabled
    assert loaded.report("base-catalog").enabled
    assert set(loaded.declarations.catalog.sources.values()) == {"base-catalog", "good"}


async def test_a_plugin_that_hangs_while_loading_is_left_behind(site: Site, load: Any) -> None:
    site.install("bad-things", bad=HANGS + "    RELEASE.wait()\n")
    site.install("good-things", good=GOOD)
    loaded = load(load_timeout=timedelta(milliseconds=200))
    assert loaded.report("bad").error == "loading did not end within 0.2 s"
    assert loaded.report("good").enabled
    assert [health.name for health in await loaded.host.health()] == ["good", "bad"]


def test_of_two_plugins_of_one_name_the_first_distribution_wins(site: Site, load: Any) -> None:
    source = "@hookimpl\ndef license_changed(): pass"
    site.install("aaa", twin=source)
    site.announce("bbb", "[tapi_agent]\ntwin = plugin_under_test_twin")
    reports = {report.distribution: report for report in load().host.report()}
    assert reports["aaa"].enabled
    assert reports["bbb"].error == "the name twin is taken by aaa"


def test_an_older_copy_further_down_the_path_is_hidden(
    site: Site, load: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("good-things", good=GOOD, version="1.0")
    newer = type(site)(tmp_path_factory.mktemp("newer"))
    newer.install("Good_Things", good=GOOD, version="2.0")
    monkeypatch.syspath_prepend(str(newer.folder))
    assert [report.version for report in load().host.report() if report.name == "good"] == ["2.0"]


@pytest.mark.usefixtures("good")
async def test_the_operator_can_leave_a_plugin_out_and_it_is_not_even_imported(site: Site, load: Any) -> None:
    site.install("bad-things", bad="raise AssertionError('imported')")
    loaded = load(disabled={"bad"})
    report = loaded.report("bad")
    assert (report.enabled, report.error) == (False, "left out by PLUGINS_DISABLED")
    assert loaded.errors == [], "the operator's wish is no error"
    assert all(health.healthy for health in await loaded.host.health())


@pytest.mark.parametrize("broken", ["[tapi_agent]\nno equals sign", "[tapi_agent\nx = y", "\x00", "x = y"])
@pytest.mark.usefixtures("good")
def test_broken_metadata_of_some_package_stops_nobody(
    site: Site, load: Any, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")  # as the program has it: pydantic looks there when first used
    site.announce("broken-things", broken)
    loaded = load()
    assert loaded.report("good").enabled
    assert loaded.errors == []


@pytest.mark.usefixtures("good")
async def test_every_plugin_hears_of_a_license_change(site: Site, load: Any) -> None:
    site.install("other-things", other="HEARD = []\n@hookimpl\ndef license_changed(): HEARD.append('no arguments')")
    loaded = load()
    await loaded.host.license_changed(CHANGE)
    import plugin_under_test_good as good_module  # noqa: PLC0415 - written by this test
    import plugin_under_test_other as other_module  # noqa: PLC0415

    assert good_module.HEARD == [CHANGE]
    assert other_module.HEARD == ["no arguments"], "a subset of the arguments is enough"


@pytest.mark.usefixtures("good")
async def test_health_is_asked_anew_each_time(load: Any) -> None:
    loaded = load()
    await loaded.host.license_changed(CHANGE)
    assert [(one.name, one.healthy, one.detail) for one in await loaded.host.health()] == [("good", True, "heard 1")]


@pytest.mark.usefixtures("good")
async def test_a_plugin_that_raises_is_counted_and_after_three_failures_disabled(site: Site, load: Any) -> None:
    site.install("bad-things", bad="CALLS = []\n@hookimpl\ndef license_changed(): CALLS.append(1); 1 / 0")
    loaded = load()
    with capture_logs() as logs:
        for failures in (1, 2, 3):
            assert loaded.report("bad").enabled
            await loaded.host.license_changed(CHANGE)
            assert loaded.report("bad").failures == failures
        await loaded.host.license_changed(CHANGE)
    import plugin_under_test_bad as bad_module  # noqa: PLC0415 - written by this test

    assert len(bad_module.CALLS) == 3, "never called again"
    assert loaded.report("bad").error == "license_changed failed: ZeroDivisionError: division by zero (3 failures)"
    assert [line["event"] for line in logs] == ["plugin_failed"] * 3 + ["plugin_disabled"]
    assert len(await loaded.host.ask("health_checks")) == 1, "the good one is not concerned"


async def test_what_a_disabled_plugin_registered_stays_until_the_next_start(site: Site, load: Any) -> None:
    site.install("bad-things", bad=GOOD.replace("HEARD.append(change)", "1 / 0"))
    loaded = load()
    for _ in range(3):
        await loaded.host.license_changed(CHANGE)
    assert not loaded.report("bad").enabled
    assert loaded.report("bad").features == ("good.feature", "good.kept"), "a customer's features do not vanish"


async def test_a_failure_that_passes_is_forgotten_by_health_but_not_by_the_count(site: Site, load: Any) -> None:
    site.install(
        "moody-things",
        moody="""
        CALLS = []
        @hookimpl
        def license_changed(change):
            CALLS.append(change)
            if len(CALLS) == 1:
                raise OSError("not now")
        """,
    )
    loaded = load()
    await loaded.host.license_changed(CHANGE)
    assert [(one.name, one.healthy, one.detail) for one in await loaded.host.health()] == [
        ("moody", False, "license_changed failed: OSError: not now")
    ]
    await loaded.host.license_changed(CHANGE)
    assert await loaded.host.health() == []
    assert (loaded.report("moody").enabled, loaded.report("moody").failures) == (True, 1)


@pytest.mark.usefixtures("good")
async def test_a_hook_that_hangs_is_abandoned_and_never_called_again(site: Site, load: Any) -> None:
    site.install(
        "bad-things", bad=HANGS + "    @hookimpl\n    def license_changed(): CALLS.append(1); RELEASE.wait()\n"
    )
    loaded = load(timeout=timedelta(milliseconds=200))
    await loaded.host.license_changed(CHANGE)
    assert loaded.report("bad").error == "license_changed did not end within 0.2 s"
    await loaded.host.license_changed(CHANGE)
    import plugin_under_test_bad as bad_module  # noqa: PLC0415 - written by this test
    import plugin_under_test_good as good_module  # noqa: PLC0415

    assert len(bad_module.CALLS) == 1
    assert good_module.HEARD == [CHANGE, CHANGE]


async def test_rubbish_from_a_later_hook_is_a_failure(site: Site, load: Any) -> None:
    site.install("bad-things", bad="@hookimpl\ndef health_checks(): return [{'healthy': True}]")
    loaded = load()
    health = await loaded.host.health()
    assert [(one.name, one.healthy) for one in health] == [("bad", False)]
    assert "health_checks()[0] gave dict" in health[0].detail
    assert loaded.report("bad").failures == 1


async def test_a_plugin_is_never_called_twice_at_a_time(site: Site, load: Any) -> None:
    site.install(
        "slow-things",
        slow="""
        from threading import Event, current_thread
        INSIDE, MOST, THREADS = [], [], set()
        @hookimpl
        def license_changed(change):
            THREADS.add(current_thread())
            INSIDE.append(1)
            MOST.append(len(INSIDE))
            Event().wait(0.02)
            INSIDE.pop()
        """,
    )
    loaded = load()
    await asyncio.gather(*(loaded.host.license_changed(CHANGE) for _ in range(5)))
    import plugin_under_test_slow as slow_module  # noqa: PLC0415 - written by this test

    assert slow_module.MOST == [1] * 5
    assert [thread.name for thread in slow_module.THREADS] == ["plugin-slow"], "always on its own thread"


async def test_waiting_for_its_turn_is_not_held_against_a_plugin(site: Site, load: Any) -> None:
    site.install(
        "slow-things",
        slow="from threading import Event\n@hookimpl\ndef license_changed(): Event().wait(0.3)",
    )
    loaded = load(timeout=timedelta(seconds=1))
    await asyncio.gather(*(loaded.host.license_changed(CHANGE) for _ in range(4)))
    assert (loaded.report("slow").enabled, loaded.report("slow").error) == (True, None)


def test_the_thread_of_a_disabled_plugin_ends(site: Site, load: Any) -> None:
    site.install("bad-things", bad_and_gone="raise RuntimeError")
    load()
    for thread in threading.enumerate():
        if thread.name == "plugin-bad-and-gone":
            thread.join(30)
    assert "plugin-bad-and-gone" not in {thread.name for thread in threading.enumerate()}


async def test_an_endless_generator_of_samples_is_cut_off(site: Site, load: Any) -> None:
    site.install(
        "endless-things",
        endless="""
        from datetime import datetime
        from decimal import Decimal
        from itertools import repeat

        @hookimpl
        def collect_usage(meter, since):
            yield from repeat(UsageSample(resource_id="disk", quantity=Decimal(1), at=since))
        """,
    )
    at = datetime(2026, 1, 2, tzinfo=UTC)
    answers = await load().host.ask("collect_usage", meter=Meter(key="m", unit="u"), since=at, until=at)
    assert [len(samples) for samples in answers] == [10_000]


async def test_with_every_plugin_left_out_nothing_is_known_and_nothing_breaks(load: Any) -> None:
    loaded = load(disabled={"base-catalog"})
    assert loaded.declarations.catalog.features == {}
    await loaded.host.license_changed(CHANGE)
    assert await loaded.host.health() == []
