"""What was answered is in the ledger: kill -9, a full disk, a hung and a restarted service."""

from __future__ import annotations

import http.client
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.sandbox.conftest import Service, event_text, new_batch

from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.sandbox.admin import SandboxAdmin
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.sandbox.conftest import Batch


def test_kill_after_the_answer_loses_nothing(own: Service) -> None:
    batches = [new_batch(50) for _ in range(5)]
    replies = [own.send(batch).json["results"] for batch in batches]
    own.process.kill()
    own.process.restart()
    assert [own.send(batch).json["results"] for batch in batches] == replies
    assert sorted(own.admin.times_billed()) == sorted(event_id for batch in batches for event_id in batch.event_ids)
    assert set(own.admin.times_billed().values()) == {1}


def test_kill_between_commit_and_answer_bills_once(own: Service) -> None:
    own.fault("drop_reply", times=1)
    batch = new_batch(10)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        own.send(batch)
    own.process.kill()
    own.process.restart()
    assert own.admin.fault_plan() == [], "a plan is forgotten"
    assert [one["status"] for one in own.send(batch).json["results"]] == ["accepted"] * 10
    assert len(own.billed()) == 10


@pytest.mark.parametrize("answered", [1, 7, 20])
def test_kill_at_any_moment_under_load(own: Service, answered: int) -> None:
    """Every batch is stored whole or not at all, and every one that was answered is stored."""
    batches = [new_batch(100) for _ in range(60)]
    done: list[Batch] = []

    def deliver(mine: list[Batch]) -> None:
        for batch in mine:
            try:
                assert own.send(batch).status == 200
            except (OSError, http.client.HTTPException):
                return
            done.append(batch)

    threads = [threading.Thread(target=deliver, args=(batches[start::3],)) for start in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(done) >= answered, within=30, what="enough answers")
    own.process.kill()
    for thread in threads:
        thread.join()
    own.process.restart()
    stored = {one["batch_id"] for one in own.admin.batches()}
    assert {batch.batch_id for batch in done} <= stored
    expected = [event_id for batch in batches if batch.batch_id in stored for event_id in batch.event_ids]
    assert own.admin.times_billed() == dict.fromkeys(expected, 1)
    for batch in batches:
        assert own.send(batch).status == 200
    assert own.admin.times_billed() == {event_id: 1 for batch in batches for event_id in batch.event_ids}


def test_a_full_disk_is_a_storage_failure_and_the_batch_can_come_again(own: Service) -> None:
    """RLIMIT_FSIZE makes the kernel refuse the write-ahead log's growth."""
    limits = resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE)
    batch = new_batch(1000)
    resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (1024, limits[1]))
    for reply in (own.send(batch), own.send_classic(event_text())):
        assert reply.status == 200
        assert reply.json["accepted_count"] == 0
        assert reply.json["errors"][0].startswith("storage: ")
    assert own.send(batch).json["rejected_count"] == 1000
    resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, limits)
    assert own.billed() == []
    assert own.send(batch).json["accepted_count"] == 1000
    assert len(own.billed()) == 1000


def test_the_same_key_while_the_first_is_in_progress_is_409(own: Service, tmp_path: Path) -> None:
    """Another writer holds the ledger, so the first request hangs where it stores."""
    batch, first = new_batch(), []
    sender = threading.Thread(target=lambda: first.append(own.send(batch)))
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        sender.start()
        waiting = wait_until(lambda: seen(own, batch), within=10, what="the first request to be read")
        assert waiting["status"] is None
        refused = own.send(batch)
        assert (refused.status, refused.json["code"]) == (409, "in_progress")
        assert own.call("GET", f"/api/v1/billing/growth-packs/{own.tenant}").status == 200, "readers never wait"
        other.execute("ROLLBACK")
    sender.join()
    assert [one["status"] for one in first[0].json["results"]] == ["accepted"]
    assert own.send(batch).status == 200, "the key is free again"
    assert len(own.billed()) == 1


def seen(service: Service, batch: Batch) -> Any:
    """The request in the traffic, once its whole body has been read."""
    recent = service.admin.requests()["recent"]
    return next((one for one in recent if one["idempotency_key"] == batch.batch_id and one["body_sha256"]), None)


def test_orders_and_licenses_survive(own: Service) -> None:
    own.admin.subscribe(own.tenant, mode="enterprise", cameras_allowed=1, valid_until="2199-01-01T00:00:00.5+01:00")
    own.admin.quota(own.tenant, "outputs.api", meter="api_call", monthly_limit=5)
    word = own.validate("cam-a").json
    own.process.kill()
    own.process.restart()
    again = own.validate("cam-a").json
    assert {**word, "server_time": ""} == {**again, "server_time": ""}
    assert not own.validate("cam-b").json["is_valid"]


def test_a_paused_service_hangs_and_comes_back(own: Service) -> None:
    own.process.pause()
    connection = own.connection()
    connection.timeout = 0.3
    connection.request("GET", "/health")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    own.process.resume()
    assert own.call("GET", "/health").status == 200


def test_sigterm_ends_with_zero_and_the_address_stays(own: Service) -> None:
    idle = own.connection()
    idle.request("GET", "/health")
    assert idle.getresponse().read()
    url = own.process.url
    assert own.process.stop() == 0
    idle.close()
    assert own.process.stop() is None
    with pytest.raises(ConnectionRefusedError):
        own.call("GET", "/health")
    with pytest.raises(UnavailableError):
        own.admin.ledger()
    own.process.restart()
    assert own.process.url == url
    assert own.call("GET", "/health").status == 200


def test_a_paused_service_can_be_stopped(own: Service) -> None:
    own.process.pause()
    assert own.process.stop() == 0


def test_the_state_is_for_its_owner_only(own: Service, tmp_path: Path) -> None:
    own.send(new_batch())
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert own.key.encode() not in stored


def test_a_restart_keeps_the_licenses_and_adds_the_key(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "ledger.db", tenant="t", api_key="first") as process:
        process.admin.suspend("t")
    with SandboxProcess(tmp_path / "ledger.db", tenant="t", api_key="second") as process:
        for key in ("first", "second"):
            assert Service(process=process, tenant="t", key=key).validate().json["status"] == "suspended"


def no_ledger(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def newer_ledger(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    "prepare", [no_ledger, newer_ledger, lambda path: path.mkdir()], ids=["no-ledger", "newer", "folder"]
)
def test_a_state_that_cannot_be_used(
    tmp_path: Path, prepare: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "ledger.db")
    with pytest.raises(UnavailableError, match="did not start"):
        SandboxProcess(tmp_path / "ledger.db").start()
    said = capfd.readouterr().err
    assert "ledger.db cannot be used as the sandbox's ledger" in said
    assert "Traceback" not in said


def test_a_port_in_use_is_one_line_and_exit_78(own: Service, tmp_path: Path) -> None:
    port = own.process.url.rpartition(":")[2]
    ended = run_module("--port", port, "--state", str(tmp_path / "other.db"), secrets=True)
    assert ended.returncode == 78
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_secrets_must_be_given(tmp_path: Path) -> None:
    ended = run_module("--state", str(tmp_path / "other.db"), secrets=False)
    assert (ended.returncode, "TAPI_SANDBOX_API_KEY" in ended.stderr) == (78, True)


def run_module(*arguments: str, secrets: bool) -> subprocess.CompletedProcess[str]:
    known = {"TAPI_SANDBOX_API_KEY": "k", "TAPI_SANDBOX_ADMIN_TOKEN": "t"} if secrets else {}
    return subprocess.run(
        [sys.executable, "-m", "tapi_agent.sandbox", *arguments],
        env=known,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_without_a_tenant_it_starts_empty_and_says_where(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tapi_agent.sandbox", "--port", "0", "--state", str(tmp_path / "ledger.db")]
    env = {"TAPI_SANDBOX_API_KEY": "k", "TAPI_SANDBOX_ADMIN_TOKEN": "t"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox billing service on http://127.0.0.1:")
        stranger = SandboxAdmin(line.split()[-1], "t")
        assert stranger.ledger() == []
        with pytest.raises(RejectedError, match="no tenant"):
            stranger.suspend("demo")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_process_not_started_says_so(tmp_path: Path) -> None:
    process = SandboxProcess(tmp_path / "ledger.db")
    with pytest.raises(UnavailableError, match="not running"):
        process.pause()
    process.kill()
    assert process.stop() is None


def test_a_wrong_admin_token_opens_nothing(own: Service) -> None:
    stranger = type(own.admin)(own.process.url, own.key)
    with pytest.raises(RejectedError, match="unknown admin token") as refused:
        stranger.suspend(own.tenant)
    assert refused.value.code == "401"
    assert own.validate().json["is_valid"]
