"""What plugin authors get from ``tapi_agent.testing``: that it is real, light, and leaves nothing behind."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from decimal import Decimal
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import tapi_agent.testing
from tapi_agent.domain.errors import ConfigurationError, UnavailableError
from tapi_agent.testing import AgentThread, Tapi, running_tapi, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
    from tapi_agent.plugin import Feature, GrowthPack, Meter, hookimpl

    HEARD = []

    @hookimpl
    def register_features():
        return [Feature(key="analytics.author")]

    @hookimpl
    def register_packs():
        return [GrowthPack(slug="author", title="The Author", features=frozenset({"analytics.author"}))]

    @hookimpl
    def register_meters():
        return [Meter(key="author_runs", unit="count")]

    @hookimpl
    def license_changed(change):
        HEARD.append((change.subject.camera_id, change.new))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one installed plugin, on the path while this module's tests last."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "author-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: author\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tapi_agent]\nauthor = author_of_plugins\n")
    (folder / "author_of_plugins.py").write_text(dedent(SOURCE))
    return folder


@pytest.fixture(scope="module")
def tapi(site: Path) -> Tapi:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        with running_tapi({"EDGE_DEVICE_ID": "author-box"}) as running:
            yield running
        del sys.modules["author_of_plugins"]


def test_it_is_a_real_agent_with_the_settings_given(tapi: Tapi) -> None:
    status = tapi.client.status()
    assert (status["device_id"], status["tenant_id"], status["state"]) == ("author-box", tapi.billing.tenant, "valid")
    assert {one["name"]: one["up"] for one in status["dependencies"]}["postgres"] is not True


def test_the_plugin_runs_in_this_very_process(tapi: Tapi) -> None:
    assert tapi.plugin("author")["enabled"]
    heard = sys.modules["author_of_plugins"].HEARD
    wait_until(lambda: ("cam-1", "valid") in heard, within=30, what="the plugin told of the camera's license")


def test_a_plugin_that_is_not_installed_is_named_with_those_that_are(tapi: Tapi) -> None:
    with pytest.raises(LookupError, match=r"no plugin writer is installed \(there are: .*author"):
        tapi.plugin("writer")


def test_packs_are_sold_camera_by_camera_and_withdrawn(tapi: Tapi) -> None:
    def allowed(camera: str) -> bool:
        return bool(tapi.client.check("analytics.author", camera)["allowed"])

    tapi.grant("cam-2", "The Author")
    tapi.grant("cam-2", "Advanced Analytics")
    tapi.grant("cam-3")
    assert (allowed("cam-2"), allowed("cam-3")) == (True, False)
    tapi.withdraw("cam-2", "The Author")
    assert not allowed("cam-2")
    assert tapi.client.check("analytics.near_miss", "cam-2")["allowed"]


def test_usage_is_recorded_durably_and_summed(tapi: Tapi) -> None:
    assert tapi.usage("author_runs") == 0
    tapi.client.record("author_runs", Decimal("1.5"))
    tapi.client.record("author_runs", 2)
    assert tapi.usage("author_runs") == Decimal("3.5")
    assert list((tapi.agent.directory / "state" / "spool").glob("usage.db*"))


def test_with_engines_usage_reaches_the_bill() -> None:
    with running_tapi(engines=True) as tapi:
        tapi.client.record("api_call", 3)
        tapi.deliver()
        assert (tapi.usage("api_call"), tapi.billed("api_call"), tapi.billed("sms_sent")) == (3, 3, 0)


def test_nothing_is_left_behind() -> None:
    before = set(threading.enumerate())
    with running_tapi() as tapi:
        folder, client = tapi.agent.directory, tapi.client
        assert set(threading.enumerate()) > before
    gc.collect()  # warnings are errors: a socket or file left open would be one
    assert set(threading.enumerate()) == before
    assert not folder.parent.exists()
    with pytest.raises(UnavailableError):
        client.status()


def test_an_agent_that_cannot_start_says_why(tmp_path: Path) -> None:
    agent = AgentThread(tmp_path, {"BILLING_TIMEOUT_MS": "soon"})
    with pytest.raises(ConfigurationError, match="BILLING_TIMEOUT_MS"), agent:
        pytest.fail("it started")
    agent.stop()


def test_every_name_that_is_exported_is_there() -> None:
    found = {name: getattr(tapi_agent.testing, name) for name in tapi_agent.testing.__all__}
    assert {name for name, value in found.items() if value.__name__ == name} == set(tapi_agent.testing.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tapi_agent.testing.Nothing  # noqa: B018 - looking is the test


LIGHT = """
import sys
import tapi_agent.testing
import tapi_agent.testing.pytest_plugin
print(sorted(name for name in sys.modules if name.startswith("tapi_agent")))
"""


def test_the_fixtures_cost_nothing_until_they_are_used() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout == "['tapi_agent', 'tapi_agent.testing', 'tapi_agent.testing.pytest_plugin']\n"


def test_the_agent_does_not_see_this_process_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT_ID", "somebody-else")
    monkeypatch.setenv("PLUGINS_DISABLED", "base-catalog")
    with running_tapi() as tapi:
        assert tapi.client.status()["tenant_id"] == tapi.billing.tenant
        assert tapi.plugin("base-catalog")["enabled"]


SUITE = """
import pytest

@pytest.fixture
def tapi_settings():
    return {"EDGE_DEVICE_ID": "overridden"}

def test_without(tapi):
    assert tapi.client.status()["device_id"] == "overridden"

def test_with_engines(tapi_full):
    tapi_full.client.record("api_call", 2)
    tapi_full.deliver()
    assert tapi_full.billed("api_call") == 2
"""


def test_an_authors_suite_passes_with_warnings_as_errors(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tapi_agent.testing.pytest_plugin"]\n')
    (tmp_path / "test_suite.py").write_text(SUITE)
    options = ["-q", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
