"""Everything a plugin can do wrong, in one table: it is disabled or counted, the report says why, the others work."""

from __future__ import annotations

import asyncio
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tapi_agent.domain.usage import Meter
from tapi_agent.plugin.discovery import discover
from tapi_agent.plugin.host import PluginHost
from tapi_agent.plugin.plugin import MOST_FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.ports.plugins import PluginReport

    Site = Any

INSTALLED = {candidate.name for candidate in discover()} - {"base-catalog"}
AT = datetime(2026, 1, 2, tzinfo=UTC)
GOOD = """
    HEARD = []

    @hookimpl
    def register_features():
        return [Feature(key="good.feature")]

    @hookimpl
    def register_meters():
        return [Meter(key="good_meter", unit="things")]

    @hookimpl
    def register_quotas():
        return [QuotaRule(meter="good_meter", limit=10)]

    @hookimpl
    def license_changed(change):
        HEARD.append(change)

    @hookimpl
    def health_checks():
        return [Health(name="good", healthy=True)]
"""
HANGS = "from threading import Event\nRELEASE = Event()\n"


def features(answer: str) -> str:
    return f"@hookimpl\ndef register_features(): return {answer}"


def meters(answer: str) -> str:
    return f"@hookimpl\ndef register_meters(): return {answer}"


def quotas(answer: str, *, declared: str = "") -> str:
    return f"{meters(f'[{declared}]')}\n@hookimpl\ndef register_quotas(): return {answer}"


def packs(answer: str) -> str:
    return f"@hookimpl\ndef register_packs(): return {answer}"


OWN = "Meter(key='own_meter', unit='count')"
AT_LOAD = {
    "raises at import": ("raise RuntimeError('no GPU')", "RuntimeError: no GPU"),
    "raises in a registration": (features("1 / 0"), "ZeroDivisionError: division by zero"),
    "calls sys.exit": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
    "says nothing readable": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "Odd: (it has no text)",
    ),
    "hangs at import": (HANGS + "RELEASE.wait()", "loading did not end within 1 s"),
    "hangs in a registration": (HANGS + features("RELEASE.wait()"), "loading did not end within 1 s"),
    "lacks a dependency": (
        "import no_such_dependency.deep",
        "the module 'no_such_dependency', which distribution bad-things needs, is not installed",
    ),
    "misspells a hook": (
        "@hookimpl\ndef register_metres(): return []",
        "unknown hook 'register_metres': did you mean register_meters?",
    ),
    "invents a hook": ("@hookimpl\ndef zzz(): pass", "unknown hook 'zzz'"),
    "has a wrong argument": ("@hookimpl\ndef license_changed(chnage): pass", "Argument(s) {'chnage'} are declared"),
    "has no hook": ("x = 1", "it implements no hook: mark its functions with @hookimpl"),
    "returns rubbish": (features("42"), "register_features() gave int: "),
    "returns rubbish inside": (features("[Feature(key='a.b', min_tier='gold')]"), "[0].min_tier gave str: "),
    "never stops registering": (
        "import itertools\n" + features("(Feature(key='a.b') for _ in itertools.count())"),
        "register_features() gave generator: ",
    ),
    "repeats a feature with another meaning": (
        features("[Feature(key='good.feature', on_expired=OnExpired.KEEP)]"),
        "good.feature is already declared by good with another meaning",
    ),
    "repeats a meter in another unit": (
        meters("[Meter(key='good_meter', unit='km')]"),
        "meter good_meter is already declared by good in things, not km",
    ),
    "repeats a pack's name": (
        packs("[GrowthPack(slug='basis', title='Base', features=frozenset())]"),
        "packs base and basis share the name 'base'",
    ),
    "changes a pack": (
        packs("[GrowthPack(slug='base', title='Base', features=frozenset())]"),
        "base is already declared by base-catalog with another meaning",
    ),
    "sells what belongs to another": (
        packs("[GrowthPack(slug='free', title='Free', features=frozenset({'good.feature'}))]"),
        "pack free sells good.feature, which belongs to good",
    ),
    "limits an unknown meter": (
        quotas("[QuotaRule(meter='nobodys', limit=1)]"),
        "a quota limits the unknown meter 'nobodys'",
    ),
    "limits a meter by an unknown pack": (
        quotas("[QuotaRule(meter='own_meter', limit=1, pack='gold')]", declared=OWN),
        "a quota of meter own_meter comes with the unknown pack 'gold'",
    ),
    "limits a meter twice": (
        quotas("[QuotaRule(meter='own_meter', limit=1), QuotaRule(meter='own_meter', limit=2)]", declared=OWN),
        "meter own_meter of bad is limited to 1 a month already, not 2 a month",
    ),
    "adds to no limit": (
        quotas("[QuotaRule(meter='own_meter', limit=1, pack='base')]", declared=OWN),
        "pack base adds to a limit of meter own_meter a month, and there is none",
    ),
    "adds to a limit of another period": (
        quotas(
            "[QuotaRule(meter='own_meter', limit=1, period=Period.DAY), "
            "QuotaRule(meter='own_meter', limit=1, pack='base')]",
            declared=OWN,
        ),
        "pack base adds to a limit of meter own_meter a month, and there is none",
    ),
    "widens another's limit": (
        quotas("[QuotaRule(meter='good_meter', limit=1000, pack='base')]"),
        "meter good_meter belongs to good, which alone may limit it",
    ),
    "widens a limit of the base catalog": (
        quotas("[QuotaRule(meter='llm_tokens', limit=10**9, pack='base')]"),
        "meter llm_tokens belongs to base-catalog, which alone may limit it",
    ),
    "claims another's meter by repeating it": (
        quotas("[QuotaRule(meter='sms_sent', limit=10**9)]", declared="Meter(key='sms_sent', unit='count')"),
        "meter sms_sent belongs to base-catalog, which alone may limit it",
    ),
    "limits below nothing": (
        quotas("[QuotaRule(meter='own_meter', limit=-2)]", declared=OWN),
        "the quota of meter 'own_meter' has a limit below -1",
    ),
}


@pytest.fixture
def good(site: Site) -> None:
    site.install("a-good-one", good=GOOD)


@pytest.fixture
def load(site: Site, good: None) -> Iterator[Callable[[], PluginHost]]:
    made: list[PluginHost] = []

    def load() -> PluginHost:
        host = PluginHost(disabled=INSTALLED, timeout=timedelta(seconds=1), load_timeout=timedelta(seconds=1))
        made.append(host)
        return host

    yield load
    for host in made:
        host.close()


def report_of(host: PluginHost, name: str = "bad") -> PluginReport:
    return next(report for report in host.report() if report.name == name)


async def the_others_work(host: PluginHost) -> bool:
    heard = sys.modules["plugin_under_test_good"].HEARD
    before = len(heard)
    await host.ask("license_changed", change=None)
    return len(heard) == before + 1 and all(report_of(host, name).enabled for name in ("good", "base-catalog"))


@pytest.mark.parametrize(("source", "problem"), AT_LOAD.values(), ids=AT_LOAD)
async def test_bad_from_the_start(site: Site, load: Callable[[], PluginHost], source: str, problem: str) -> None:
    site.install("bad-things", bad=source)
    host = load()
    with capture_logs() as logs:
        declarations = host.load()
    report = report_of(host)
    assert problem in str(report.error)
    assert (report.enabled, report.features, report.meters, report.quotas) == (False, (), (), ())
    assert set(declarations.catalog.sources.values()) == {"base-catalog", "good"}
    assert [line["plugin"] for line in logs if line["log_level"] == "error"] == ["bad"]
    assert await the_others_work(host)
    assert [one.healthy for one in (await host.doctor())["bad"]] == [False]


@pytest.mark.parametrize(
    ("entry", "problem"),
    {
        "no such object": (
            "plugin_under_test_good:absent",
            "its entry point names plugin_under_test_good:absent, but module plugin_under_test_good has no absent",
        ),
        "no such module": (
            "plugin_under_test_absent",
            "its entry point names the module 'plugin_under_test_absent', which distribution bad-things does not have",
        ),
        "no entry point": ("not a module!", "its entry point 'not a module!' is not of the form module or module:obj"),
    }.values(),
    ids=str,
)
async def test_an_entry_point_that_leads_nowhere(
    site: Site, load: Callable[[], PluginHost], entry: str, problem: str
) -> None:
    site.announce("bad-things", f"[tapi_agent]\nbad = {entry}")
    host = load()
    host.load()
    assert problem in str(report_of(host).error)
    assert await the_others_work(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What goes wrong in a hook, how often it is called, and what then is said of it."""

    source: str
    problem: str
    enabled: bool = True
    failures: int = 1
    calls: int = 1


LATER = {
    "raises": Late(source="@hookimpl\ndef license_changed(): 1 / 0", problem="license_changed failed: ZeroDivisionEr"),
    "raises on and on": Late(
        source="@hookimpl\ndef license_changed(): 1 / 0",
        problem="(3 failures)",
        enabled=False,
        failures=MOST_FAILURES,
        calls=MOST_FAILURES + 1,
    ),
    "calls sys.exit": Late(source="import sys\n@hookimpl\ndef license_changed(): sys.exit(3)", problem="SystemExit: 3"),
    "hangs": Late(
        source=HANGS + "@hookimpl\ndef license_changed(): RELEASE.wait()",
        problem="license_changed did not end within 1 s",
        enabled=False,
        failures=0,
        calls=2,
    ),
    "recurses for ever": Late(
        source="@hookimpl\ndef license_changed(): license_changed()", problem="license_changed failed: RecursionError"
    ),
}


@pytest.mark.parametrize("late", LATER.values(), ids=LATER)
async def test_bad_later(site: Site, load: Callable[[], PluginHost], late: Late) -> None:
    site.install("bad-things", bad=late.source)
    host = load()
    host.load()
    assert report_of(host).error is None
    for _ in range(late.calls):
        await host.ask("license_changed", change=None)
    report = report_of(host)
    assert late.problem in str(report.error)
    assert (report.enabled, report.failures) == (late.enabled, late.failures)
    assert await the_others_work(host)


async def test_an_endless_generator_is_cut_off(site: Site, load: Callable[[], PluginHost]) -> None:
    site.install(
        "bad-things",
        bad="""
        from decimal import Decimal
        from itertools import repeat

        @hookimpl
        def collect_usage(since):
            yield from repeat(UsageSample(resource_id="disk", quantity=Decimal(1), at=since))
        """,
    )
    host = load()
    host.load()
    samples = await host.ask_one("bad", "collect_usage", meter=Meter(key="m", unit="u"), since=AT, until=AT)
    assert len(samples) == 10_000
    assert await the_others_work(host)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_threads_of_its_own_that_raise_hurt_nobody(site: Site, load: Callable[[], PluginHost]) -> None:
    site.install(
        "bad-things",
        bad="""
        from threading import Thread

        def wild():
            raise RuntimeError("wild")

        @hookimpl
        def license_changed():
            threads = [Thread(target=wild, daemon=True) for _ in range(10)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        """,
    )
    host = load()
    host.load()
    assert await the_others_work(host)
    assert report_of(host).enabled


async def test_work_that_may_fail_is_not_counted_and_other_work_is(site: Site, load: Callable[[], PluginHost]) -> None:
    site.install("bad-things", bad="@hookimpl\ndef license_changed(): pass")
    host = load()
    host.load()
    assert await host.run_one("bad", "sink", lambda: 1 / 0, may_fail=True) is not None
    assert report_of(host).failures == 0
    assert await host.run_one("bad", "job sweep", lambda: 1 / 0) == (
        "job sweep failed: ZeroDivisionError: division by zero"
    )
    assert (report_of(host).failures, report_of(host).enabled) == (1, True)
    assert await host.run_one("bad", "job sweep", list) is None


async def test_work_that_hangs_disables_even_when_it_may_fail(site: Site, load: Callable[[], PluginHost]) -> None:
    site.install("bad-things", bad="@hookimpl\ndef license_changed(): pass")
    host = load()
    host.load()
    release = threading.Event()
    said = await asyncio.gather(*(host.run_one("bad", "sink", release.wait, may_fail=True) for _ in range(2)))
    release.set()
    assert said == ["sink did not end within 1 s", "plugin bad is disabled: sink did not end within 1 s"]
    assert not report_of(host).enabled
    assert await host.run_one("bad", "sink", list) == "plugin bad is not enabled"
    assert await host.ask_one("nobody", "health_checks") is None


async def test_doctor_hears_everybody_and_says_who_was_not_well(site: Site, load: Callable[[], PluginHost]) -> None:
    site.install(
        "bad-things",
        bad="""
        @hookimpl
        def doctor_checks():
            1 / 0

        @hookimpl
        def health_checks():
            return [Health(name="x", healthy=True)]
        """,
    )
    host = load()
    host.load()
    examined = await host.doctor()
    assert [one.name for one in examined["good"]] == ["good"]
    assert [(one.name, one.healthy) for one in examined["bad"]] == [("x", True), ("bad", False)]
    assert "doctor_checks failed: ZeroDivisionError" in examined["bad"][1].detail


def test_a_first_party_plugin_may_add_to_a_limit_of_the_base_catalog(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapi_agent.plugin.discovery.FIRST_PARTY", frozenset({"tapi-agent", "tapi-ours"}))
    site.install("tapi-ours", ours=quotas("[QuotaRule(meter='llm_tokens', limit=7, pack='intelligence')]"))
    host = PluginHost(disabled=INSTALLED)
    declarations = host.load()
    added = [rule.limit for rule in declarations.quotas if (rule.meter, rule.pack) == ("llm_tokens", "intelligence")]
    assert (added, report_of(host, "ours").first_party) == ([7], True)
    host.close()


def test_an_exact_repeat_of_a_rule_says_nothing_new(site: Site) -> None:
    site.install("care-things", care=quotas("[QuotaRule(meter='own_meter', limit=1)] * 2", declared=OWN))
    host = PluginHost(disabled=INSTALLED)
    rules = [rule.limit for rule in host.load().quotas if rule.meter == "own_meter"]
    assert (rules, report_of(host, "care").error) == ([1], None)
    host.close()
