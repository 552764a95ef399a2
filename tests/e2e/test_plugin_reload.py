"""A plugin is installed beside an agent that is hard at work, and SIGHUP brings it in: no event is lost or doubled."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest
from e2e_tools import billed, install_plugin, settings_for, settle

from tapi_agent.domain.errors import RejectedError
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

CARE = """
from tapi_agent.plugin import Command, Feature, GrowthPack, Health, Meter, QuotaRule, hookimpl

@hookimpl
def register_features():
    return [Feature(key="care.alarm")]

@hookimpl
def register_packs():
    return [GrowthPack(slug="care", title="Care", features=frozenset({"care.alarm"}))]

@hookimpl
def register_meters():
    return [Meter(key="care_alarms", unit="count")]

@hookimpl
def register_quotas():
    return [QuotaRule(meter="care_alarms", limit=1000)]

@hookimpl
def doctor_checks():
    return [Health(name="line", healthy=False, detail="cut", fix="mend it")]
"""
HANGS = "from threading import Event\nEvent().wait()\n"


class Load:
    """Applications that record without a pause; ``acknowledged`` is what the agent said that it has."""

    def __init__(self, agent: AgentProcess) -> None:
        self.acknowledged: list[str] = []
        self._agent = agent
        self._enough = Event()
        self._threads = [Thread(target=self._work) for _ in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def goes_on(self) -> None:
        """Return when more has been acknowledged since."""
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > before + 20, within=30, what="events acknowledged")

    def _work(self) -> None:
        with self._agent.client() as client:
            while not self._enough.is_set():
                self.acknowledged.append(client.record("api_call", 1, camera_id="cam-01")["event_id"])


@pytest.fixture
def site(folder: Path) -> Path:
    """On the agent's path from the start, and empty."""
    (folder / "site").mkdir()
    return folder / "site"


@pytest.fixture
def agent(service: SandboxProcess, launch: Callable[..., AgentProcess], site: Path) -> AgentProcess:
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    running = launch(settings_for(service, PYTHONPATH=path, PLUGIN_TRACE="care"))
    running.start(within=60)
    return running


@pytest.fixture
def load(agent: AgentProcess) -> Iterator[Load]:
    load = Load(agent)
    load.start()
    yield load
    load.stop()


def plugins(agent: AgentProcess) -> dict[str, dict[str, Any]]:
    with agent.client() as client:
        return {one["name"]: one for one in client.plugins()["plugins"]}


def test_a_plugin_comes_in_by_sighup_while_events_flow(
    agent: AgentProcess, service: SandboxProcess, site: Path, load: Load
) -> None:
    load.goes_on()
    with agent.client() as client:
        assert client.check("care.alarm", "cam-01")["reason"] == "FEATURE_UNKNOWN"
        with pytest.raises(RejectedError, match="care_alarms"):
            client.record("care_alarms", 1, camera_id="cam-01")

        install_plugin(site, "care", CARE)
        os.kill(agent.pid, signal.SIGHUP)
        wait_until(lambda: "care" in plugins(agent), within=60, what="the plugin is there")
        load.goes_on()

        assert plugins(agent)["care"]["enabled"]
        assert client.check("care.alarm", "cam-01")["reason"] != "FEATURE_UNKNOWN"
        load.acknowledged.append(client.record("care_alarms", 1, camera_id="cam-01")["event_id"])
        assert "care_alarms" in {one["meter"] for one in client.quota()["quotas"]}
        findings = {(one["source"], one["name"]): one for one in client.doctor()["findings"]}
        assert findings["care", "line"]["fix"] == "mend it"
    load.stop()
    settle(agent)
    assert billed(service) == Counter(load.acknowledged)
    assert '"plugin_call"' in agent.log.read_text()


def test_one_that_hangs_when_it_is_loaded_holds_nobody_up(agent: AgentProcess, site: Path, load: Load) -> None:
    install_plugin(site, "bad", HANGS)
    install_plugin(site, "care", CARE)
    os.kill(agent.pid, signal.SIGHUP)
    load.goes_on()
    wait_until(lambda: "care" in plugins(agent), within=60, what="the plugin is there")
    assert plugins(agent)["bad"]["error"] == "loading did not end within 10 s"
    assert plugins(agent)["care"]["enabled"]
    load.goes_on()


def test_systemd_hears_of_the_reload_and_of_its_end(
    service: SandboxProcess, launch: Callable[..., AgentProcess], folder: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(60)
        agent = launch(settings_for(service, NOTIFY_SOCKET=str(folder / "notify")))
        agent.start(within=60)
        assert systemd.recv(1000).startswith(b"READY=1")
        os.kill(agent.pid, signal.SIGHUP)
        assert systemd.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.recv(1000).startswith(b"READY=1")
        agent.stop()


def test_reload_over_the_socket_says_what_came(agent: AgentProcess, site: Path) -> None:
    install_plugin(site, "care", CARE)
    with agent.client() as client:
        assert client.reload_plugins()["came"] == ["care"]
        assert client.reload_plugins()["came"] == []
