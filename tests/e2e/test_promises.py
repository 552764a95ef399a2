"""The promises, kept by real processes: what issue 2 calls "must show"."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from e2e_tools import all_up, billed, record, settings_for, settle

from tapi_agent.domain.errors import TapiError
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.sandbox.process import SandboxProcess
    from tapi_agent.testing.agent import AgentProcess

pytestmark = pytest.mark.slow

USAGE = "/api/v1/usage/batch"


def usage_requests(service: SandboxProcess) -> list[dict[str, Any]]:
    return [one for one in service.admin.requests()["recent"] if one["path"] == USAGE]


@pytest.mark.timeout(180)
def test_the_demo_tells_the_whole_story_and_proves_the_ledger() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tapi_agent", "demo"], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = " ".join(done.stdout.split())
    acts = [story.index(f"license {state}") for state in ("valid", "offline", "grace", "expired")]
    assert acts == sorted(acts)
    assert story.rindex("license valid") > acts[-1]
    for state in ("valid", "offline", "grace", "expired"):
        assert f"events recorded while {state}" in story
    assert "every event billed exactly once: 0 missing, 0 billed twice, 0 unexplained" in story


@pytest.mark.parametrize(
    "order",
    [("billing", "postgres", "redis"), ("redis", "postgres", "billing"), ("postgres", "billing", "redis")],
    ids="-".join,
)
def test_it_starts_with_everything_down_and_heals_in_any_order(
    order: tuple[str, ...], private_engines: Any, service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    postgres, valkey = private_engines.postgres, private_engines.valkey
    postgres.kill()
    valkey.kill()
    service.stop()
    bring_up = {"billing": service.start, "postgres": postgres.start, "redis": valkey.start}
    agent = launch(settings_for(service, POSTGRES_DSN=postgres.address, REDIS_URL=valkey.address))
    agent.start()
    pid = agent.pid
    down = agent.wait_for(
        lambda s: sum(one["up"] is False for one in s["dependencies"]) == 3, within=10, what="all down"
    )
    assert all(one["detail"] for one in down["dependencies"] if one["up"] is False)
    acknowledged = record(agent)
    for name in order:
        bring_up[name]()
        agent.wait_for(
            lambda s, name=name: next(one["up"] for one in s["dependencies"] if one["name"] == name),
            within=20,
            what=f"{name} healed",
        )
    agent.wait_for(lambda s: s["state"] == "valid", within=20, what="valid")
    settle(agent)
    assert billed(service) == dict.fromkeys(acknowledged, 1)
    assert agent.pid == pid


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpcore drops a refused socket
def test_kill_9_while_recording_loses_nothing_and_the_engines_are_adopted(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service))
    agent.start()
    agent.wait_for(all_up, within=30, what="all up")
    acknowledged = record(agent, 1)
    settle(agent)  # until a reply has shown that the service dedupes, what a kill leaves is held for a minute
    engines = engine_pids(agent)
    assert engines.keys() == {"postgres", "valkey-server"}

    def keep_recording() -> None:
        try:
            while True:
                acknowledged.extend(record(agent, 1))
        except (TapiError, OSError):
            return

    recorders = [threading.Thread(target=keep_recording) for _ in range(4)]
    for recorder in recorders:
        recorder.start()
    wait_until(lambda: len(acknowledged) > 200, within=20, what="events under way")
    agent.kill()
    for recorder in recorders:
        recorder.join()
    assert engine_pids(agent) == engines
    agent.start()
    agent.wait_for(all_up, within=30, what="all up again")
    assert engine_pids(agent) == engines
    settle(agent)
    counts = billed(service)
    assert set(acknowledged) <= counts.keys()
    assert set(counts.values()) == {1}


def engine_pids(agent: AgentProcess) -> dict[str, int]:
    """Pids of the engines below the agent's state directory, found in /proc."""
    found = {}
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            program, *arguments = cmdline.read_text().split("\0")
        except OSError:
            continue
        name = Path(program).name
        if name in {"postgres", "valkey-server"} and str(agent.directory) in " ".join(arguments):
            found[name] = int(cmdline.parent.name)
    return found


def test_a_lost_reply_is_retried_with_the_same_bytes_and_bills_nothing_twice(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service))
    agent.start()
    agent.wait_for(all_up, within=30, what="all up")
    first = record(agent)
    settle(agent)
    service.admin.faults({"action": "drop_reply", "path": USAGE, "times": 1})
    acknowledged = [*first, *record(agent)]
    settle(agent)
    tries: dict[str, set[str]] = {}
    for request in usage_requests(service):
        tries.setdefault(request["idempotency_key"], set()).add(request["body_sha256"])
    assert all(len(bodies) == 1 for bodies in tries.values())
    assert len(usage_requests(service)) > len(tries)
    assert billed(service) == dict.fromkeys(acknowledged, 1)


def test_a_classic_service_is_not_sent_a_doubtful_batch_again(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    service.admin.faults({"action": "classic_only"}, {"action": "drop_reply", "path": USAGE, "times": 1})
    service.admin.faults({"action": "status", "status": 503, "path": "/api/v1/billing/usage/*"})
    agent = launch(settings_for(service, BILLING_DIALECT="classic"))
    agent.start()
    agent.wait_for(all_up, within=30, what="all up")
    acknowledged = record(agent)
    agent.wait_for(lambda s: s["usage"]["ambiguous"] == len(acknowledged), within=20, what="the batch is ambiguous")
    later = record(agent)
    agent.wait_for(
        lambda s: s["usage"]["pending"] + s["usage"]["sealed"] + s["usage"]["spooled"] == 0,
        within=20,
        what="others go on",
    )
    assert len(usage_requests(service)) == 2
    assert agent.status()["usage"]["ambiguous"] == len(acknowledged)
    assert sum(line["quantity"] == "1" for line in service.admin.ledger()) == len(acknowledged) + len(later)


def test_curl_sees_the_status_and_the_socket_is_0660(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service))
    agent.start()
    agent.wait_for(lambda s: s["state"] == "valid", within=20, what="valid")
    status = curl(agent.socket, "/api/v1/status")
    assert status["state"] == "valid"
    assert status["reason"] == "OK"
    assert status["since"].endswith("Z")
    assert set(status["next_transition"]) == {"at", "to", "reason"}
    assert stat.S_IMODE(agent.socket.stat().st_mode) == 0o660


def curl(path: Path, target: str) -> Any:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", target)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_a_graceful_stop_takes_the_engines_along_and_a_second_agent_is_refused(
    service: SandboxProcess, launch: Callable[..., AgentProcess]
) -> None:
    agent = launch(settings_for(service))
    agent.start()
    agent.wait_for(all_up, within=30, what="all up")
    second = subprocess.run(
        [sys.executable, "-m", "tapi_agent", "run"],
        env=agent.environment | {"TAPI_SOCKET": str(agent.directory / "other.sock")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 78, second.stderr
    assert engine_pids(agent)
    assert all_up(agent.status())
    assert agent.stop() == 0
    assert engine_pids(agent) == {}
