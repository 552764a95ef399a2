"""Redis and PostgreSQL killed, hung, emptied and restarted under a real agent that has work to do."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
import redis
from e2e_tools import all_up, billed, record, settings_for, settle

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

FEATURE: Final = "analytics.detection"
A_WHILE: Final = 200


@dataclass
class Load:
    """Callers that ask and record without a pause, and what became of their calls."""

    agent: AgentProcess
    answers: int = 0
    slowest: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def call(self) -> None:
        with self.agent.client() as client:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    assert client.check(FEATURE, "cam-01")["allowed"]
                    assert client.validate("cam-02")["state"] == "valid"
                    self.acknowledged.append(client.record("api_call", 1, camera_id="cam-01")["event_id"])
                except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
                    self.failures.append(error)
                    return
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.answers += 1

    def goes_on(self, calls: int = A_WHILE) -> None:
        """Return after so many more rounds of calls."""
        enough = self.answers + calls
        wait_until(lambda: self.answers >= enough or self.failures, within=60, what="calls under way")
        assert self.failures == []


@contextmanager
def load_on(agent: AgentProcess) -> Iterator[Load]:
    load = Load(agent)
    callers = [threading.Thread(target=load.call) for _ in range(4)]
    for caller in callers:
        caller.start()
    try:
        yield load
    finally:
        load.over.set()
        for caller in callers:
            caller.join()


def is_up(status: dict[str, Any], name: str) -> bool:
    return next(bool(one["up"]) for one in status["dependencies"] if one["name"] == name)


@pytest.fixture
def agent(private_engines: Any, service: SandboxProcess, launch: Callable[..., AgentProcess]) -> AgentProcess:
    postgres, valkey = private_engines.postgres.address, private_engines.valkey.address
    agent = launch(settings_for(service, POSTGRES_DSN=postgres, REDIS_URL=valkey))
    agent.start()
    agent.wait_for(lambda s: all_up(s) and s["state"] == "valid", within=30, what="all up and licensed")
    return agent


def test_no_call_fails_whatever_happens_to_redis(
    agent: AgentProcess, private_engines: Any, service: SandboxProcess
) -> None:
    valkey = private_engines.valkey
    with load_on(agent) as load:
        load.goes_on()
        usual = load.slowest
        valkey.freeze()
        load.goes_on()
        agent.wait_for(lambda s: not is_up(s, "redis"), within=20, what="Redis noticed hung")
        valkey.thaw()
        agent.wait_for(lambda s: is_up(s, "redis"), within=20, what="Redis noticed back")
        valkey.kill()
        load.goes_on()
        agent.wait_for(lambda s: not is_up(s, "redis"), within=20, what="Redis noticed gone")
        valkey.start()
        agent.wait_for(lambda s: is_up(s, "redis"), within=20, what="Redis noticed started")
        with redis.Redis.from_url(valkey.address) as client:
            client.flushall()
        load.goes_on()
    print(f"\n{load.answers} rounds of calls, slowest {load.slowest * 1000:.0f} ms, before {usual * 1000:.0f} ms")  # noqa: T201 - for -s
    settle(agent)
    assert billed(service) == dict.fromkeys(load.acknowledged, 1)


@pytest.mark.parametrize("accident", ["kill", "freeze"])
def test_checks_and_recording_go_on_without_postgresql_and_it_is_written_to_at_once_when_back(
    accident: str, agent: AgentProcess, private_engines: Any, service: SandboxProcess
) -> None:
    postgres = private_engines.postgres
    with load_on(agent) as load:
        load.goes_on()
        getattr(postgres, accident)()
        agent.wait_for(lambda s: not is_up(s, "postgres"), within=20, what="PostgreSQL noticed gone")
        load.goes_on()
        {"kill": postgres.start, "freeze": postgres.thaw}[accident]()
        back = time.monotonic()
        recorded = "SELECT count(*) FROM usage_events"
        with psycopg.connect(postgres.address, autocommit=True) as connection:

            def events() -> int:
                row = connection.execute(recorded).fetchone()
                return int(row[0]) if row else 0

            before = events()
            wait_until(lambda: events() > before, within=10, what="the first write")
        first_write = time.monotonic() - back
        load.goes_on()
    print(f"\nfirst write {first_write * 1000:.0f} ms after it was back, slowest round {load.slowest * 1000:.0f} ms")  # noqa: T201 - for -s
    assert first_write <= 1.0 + load.slowest  # which is small unless the machine stood still
    settle(agent)
    assert billed(service) == dict.fromkeys(load.acknowledged, 1)


def test_a_database_emptied_under_a_running_agent_is_laid_out_anew(
    agent: AgentProcess, private_engines: Any, service: SandboxProcess
) -> None:
    before = record(agent, 20)
    settle(agent)
    with psycopg.connect(private_engines.postgres.address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    after = record(agent, 20)
    settle(agent)
    assert billed(service) == dict.fromkeys([*before, *after], 1)
    licenses = "SELECT count(*) FROM camera_licenses WHERE camera_id <> ''"
    with psycopg.connect(private_engines.postgres.address, autocommit=True) as connection:
        wait_until(lambda: connection.execute(licenses).fetchone() == (2,), within=20, what="licenses kept again")
