"""Loading anew in a running host: what came, what stays, what a restart would change."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.plugin import loading
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tapi_agent.ports.plugins import PluginReport

    Site = Any

INSTALLED = {candidate.name for candidate in discover()} - {"base-catalog"}
CARE = """
    @hookimpl
    def register_features():
        return [Feature(key="care.alarm")]

    @hookimpl
    def register_meters():
        return [Meter(key="care_alarms", unit="count")]

    @hookimpl
    def register_quotas():
        return [QuotaRule(meter="care_alarms", limit=5)]

    @hookimpl
    def license_changed():
        raise RuntimeError("no line")

    @hookimpl
    def health_checks():
        return [Health(name="care", healthy=True)]
"""
HANGS = """
    from threading import Event
    RELEASE = Event()
    @hookimpl
    def health_checks():
        RELEASE.wait()
        return []
"""


@pytest.fixture
def host(site: Site) -> Iterator[PluginHost]:
    """Loaded, with the base catalog alone."""
    host = PluginHost(disabled=INSTALLED, timeout=timedelta(seconds=10))
    host.load()
    yield host
    host.close()


def report_of(host: PluginHost, name: str) -> PluginReport:
    return next(report for report in host.report() if report.name == name)


def uninstall(site: Site, distribution: str) -> None:
    (info,) = site.folder.glob(f"{distribution.replace('-', '_')}-*.dist-info")
    shutil.rmtree(info)


async def fail_three_times(host: PluginHost) -> None:
    for _ in range(3):
        await host.ask("license_changed", change=None)


async def test_what_was_installed_since_is_loaded_and_adopted(host: PluginHost, site: Site) -> None:
    adopted: list[Any] = []
    host.on_reload(adopted.append)
    site.install("care-things", care=CARE)
    declarations = await host.reload()
    assert adopted == [declarations]
    assert "care.alarm" in declarations.catalog.features
    assert "analytics.heatmap" in declarations.catalog.features, "what was known stays"
    assert (declarations.meters["care_alarms"].unit, report_of(host, "care").quotas) == ("count", ("care_alarms",))
    assert [health.name for health in await host.health()] == ["care"], "it is called"


async def test_who_runs_is_not_loaded_again(host: PluginHost, site: Site) -> None:
    site.install("care-things", care=CARE)
    await host.reload()
    module = sys.modules["plugin_under_test_care"]
    before = host.report()
    await host.reload()
    assert host.report() == before
    assert sys.modules["plugin_under_test_care"] is module


async def test_who_failed_to_load_is_tried_again_from_its_new_files(host: PluginHost, site: Site) -> None:
    site.install("care-things", care="import no_such_dependency")
    await host.reload()
    assert not report_of(host, "care").enabled
    (site.folder / "no_such_dependency.py").write_text("")
    declarations = await host.reload()
    assert (report_of(host, "care").error, report_of(host, "care").enabled) != (None, True), "it implements no hook"
    uninstall(site, "care-things")
    site.install("care-things", version="2.0", care=CARE)
    declarations = await host.reload()
    assert (report_of(host, "care").version, report_of(host, "care").enabled) == ("2.0", True)
    assert "care.alarm" in declarations.catalog.features
    sys.modules.pop("no_such_dependency")


async def test_who_was_disabled_gets_another_chance_and_keeps_its_features_meanwhile(
    host: PluginHost, site: Site
) -> None:
    site.install("care-things", care=CARE)
    await host.reload()
    await fail_three_times(host)
    assert (report_of(host, "care").enabled, report_of(host, "care").failures) == (False, 3)
    (site.folder / "plugin_under_test_care.py").write_text("1 / 0")
    declarations = await host.reload()
    assert "care.alarm" in declarations.catalog.features
    assert (report_of(host, "care").enabled, report_of(host, "care").features) == (False, ("care.alarm",))
    uninstall(site, "care-things")
    site.install("care-things", care=CARE)
    await host.reload()
    assert (report_of(host, "care").enabled, report_of(host, "care").failures) == (True, 0)


@pytest.mark.parametrize(
    ("change", "pending"),
    [
        ("upgraded", "restart to change to version 2.0"),
        ("uninstalled", "restart to be rid of it: it is not installed any more"),
        ("untouched", None),
    ],
)
async def test_who_runs_says_what_a_restart_would_change(
    host: PluginHost, site: Site, change: str, pending: str | None
) -> None:
    site.install("care-things", care=CARE)
    await host.reload()
    if change != "untouched":
        uninstall(site, "care-things")
    if change == "upgraded":
        site.install("care-things", version="2.0", care="1 / 0")
    declarations = await host.reload()
    report = report_of(host, "care")
    assert (report.pending, report.enabled, report.version) == (pending, True, "1.0")
    assert "care.alarm" in declarations.catalog.features


async def test_who_failed_and_was_uninstalled_is_gone(host: PluginHost, site: Site) -> None:
    site.install("care-things", care="1 / 0")
    await host.reload()
    uninstall(site, "care-things")
    await host.reload()
    assert "care" not in {report.name for report in host.report()}


async def test_who_was_disabled_and_uninstalled_is_still_answered_for(host: PluginHost, site: Site) -> None:
    site.install("care-things", care=CARE)
    await host.reload()
    await fail_three_times(host)
    uninstall(site, "care-things")
    declarations = await host.reload()
    assert report_of(host, "care").pending == "restart to be rid of it: it is not installed any more"
    assert "care.alarm" in declarations.catalog.features


async def test_who_still_hangs_is_not_tried_again_until_its_call_ends(site: Site) -> None:
    host = PluginHost(disabled=INSTALLED, timeout=timedelta(milliseconds=200))
    site.install("care-things", care=HANGS)
    host.load()
    assert await host.health() != []
    await host.reload()
    assert report_of(host, "care").pending == "restart to try it again: a call that it was left behind in still goes on"
    sys.modules["plugin_under_test_care"].RELEASE.set()
    async with asyncio.timeout(30):
        while not report_of(host, "care").enabled:
            await host.reload()
    assert report_of(host, "care").pending is None
    sys.modules["plugin_under_test_care"].RELEASE.set()
    host.close()


async def test_a_newcomer_in_conflict_loses_whatever_its_place_in_the_alphabet(host: PluginHost, site: Site) -> None:
    site.install("zebra-things", zebra=CARE)
    await host.reload()
    site.install("aaa-things", aaa=CARE.replace('unit="count"', 'unit="hours"'), zebra_two="1 / 0")
    await host.reload()
    error = "meter care_alarms is already declared by zebra in count, not hours"
    assert (report_of(host, "aaa").error, report_of(host, "zebra").enabled) == (error, True)


async def test_a_name_that_runs_is_taken(host: PluginHost, site: Site) -> None:
    site.install("zebra-things", care=CARE)
    await host.reload()
    site.announce("aaa-things", "[tapi_agent]\ncare = plugin_under_test_care")
    await host.reload()
    errors = {report.distribution: report.error for report in host.report() if report.name == "care"}
    assert errors == {"zebra-things": None, "aaa-things": "the name care is taken by zebra-things"}


async def test_a_plugin_that_hangs_when_it_is_loaded_does_not_stop_the_loop(site: Site) -> None:
    host = PluginHost(disabled=INSTALLED, load_timeout=timedelta(milliseconds=500))
    host.load()
    site.install("bad-things", bad="from threading import Event\nRELEASE = Event()\nRELEASE.wait()")
    site.install("care-things", care=CARE)
    reloading = asyncio.create_task(host.reload())
    turns = 0
    while not reloading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    assert report_of(host, "bad").error == "loading did not end within 0.5 s"
    assert report_of(host, "care").enabled
    host.close()


def test_many_that_hang_cost_two_limits_at_most(site: Site) -> None:
    for number in range(20):
        site.install(
            f"bad-{number}", **{f"bad{number}": "from threading import Event\nRELEASE = Event()\nRELEASE.wait()"}
        )
    site.install("zebra-things", zebra=CARE)
    plugins = PluginHost(disabled=INSTALLED, load_timeout=timedelta(seconds=1))
    plugins.load()
    waits = [report.name for report in plugins.report() if report.error == "loading did not end within 1 s"]
    assert len(waits) == 20
    assert report_of(plugins, "zebra").enabled
    plugins.close()


async def test_a_pth_file_that_came_with_an_editable_install_counts(
    host: PluginHost, site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages: Path = tmp_path_factory.mktemp("site-packages")
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(loading.site, "getsitepackages", lambda: [str(packages)])
    project = type(site)(tmp_path_factory.mktemp("project"))
    project.install("editable-things", editable=CARE)
    (packages / "editable.pth").write_text(f"{project.folder}\nimport sys; sys.editable_runs.append(1)\n")
    monkeypatch.setattr(sys, "editable_runs", [], raising=False)
    before = list(sys.path)
    declarations = await host.reload()
    await host.reload()
    sys.path[:] = before
    assert "care.alarm" in declarations.catalog.features
    assert sys.editable_runs == [1], "code in a .pth file runs once"


async def test_two_reloads_at_a_time_are_one_after_the_other(host: PluginHost, site: Site) -> None:
    site.install("care-things", care="COUNT = []\n@hookimpl\ndef register_features(): COUNT.append(1); return []")
    await asyncio.gather(host.reload(), host.reload())
    assert sys.modules["plugin_under_test_care"].COUNT == [1]


async def test_when_the_packages_cannot_be_looked_through_all_stays_as_it_is(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.report()
    monkeypatch.setattr("tapi_agent.plugin.loading.discover", lambda: 1 / 0)
    with pytest.raises(UnavailableError, match="the plugins could not be loaded anew: ZeroDivisionError"):
        await host.reload()
    assert host.report() == before


async def test_modules_that_a_running_plugin_shares_are_not_forgotten(host: PluginHost, site: Site) -> None:
    (site.folder / "plugin_under_test_pack").mkdir()
    (site.folder / "plugin_under_test_pack" / "__init__.py").write_text("")
    (site.folder / "plugin_under_test_pack" / "good.py").write_text(
        "from tapi_agent.plugin import hookimpl\n@hookimpl\ndef license_changed(): pass"
    )
    site.announce(
        "pack-things", "[tapi_agent]\ngood = plugin_under_test_pack.good\nbad = plugin_under_test_pack.absent"
    )
    await host.reload()
    module = sys.modules["plugin_under_test_pack.good"]
    await host.reload()
    assert sys.modules["plugin_under_test_pack.good"] is module
    assert "names the module 'plugin_under_test_pack.absent', which distribution pack-things does not have" in str(
        report_of(host, "bad").error
    )


async def test_traced_calls_are_in_the_log_with_short_arguments_and_outcome(site: Site) -> None:
    site.install("care-things", care=CARE)
    host = PluginHost(disabled=INSTALLED, trace=["care"])
    with capture_logs() as logs:
        host.load()
        await host.ask("license_changed", change="x" * 500)
        await host.health()
    calls = [(line["plugin"], line["call"], line["outcome"]) for line in logs if line["event"] == "plugin_call"]
    assert calls == [
        ("care", "loading", "returned Contribution"),
        ("care", "license_changed", "raised RuntimeError"),
        ("care", "health_checks", "returned 1 values"),
    ]
    (shown,) = [line["arguments"] for line in logs if line.get("call") == "license_changed"]
    assert shown == {"change": "'" + "x" * 79 + "..."}
    host.close()


@pytest.mark.parametrize(
    ("trace", "traced"), [(["all"], {"base-catalog", "care"}), ([], set()), (["care"], {"care"}), (["other"], set())]
)
async def test_only_who_is_named_is_traced(site: Site, trace: list[str], traced: set[str]) -> None:
    site.install("care-things", care=CARE)
    host = PluginHost(disabled=INSTALLED, trace=trace)
    with capture_logs() as logs:
        host.load()
    assert {line["plugin"] for line in logs if line["event"] == "plugin_call"} == traced
    host.close()
