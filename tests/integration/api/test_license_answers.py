"""explain, simulate, history and wait against a living agent, by command and by HTTP."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

import pytest
from tests.integration.api.test_cli import command, lines

from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import CameraId
from tapi_agent.services.licensing import Licensing
from tapi_agent.testing.clock import START
from tapi_agent.testing.licenses import MemoryLicenseLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.api.conftest import LiveAgent

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(live: LiveAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return command(live, monkeypatch, capsys)


@pytest.fixture
def two(live: LiveAgent, run: Run, tmp_path: Path) -> LiveAgent:
    """The gate has a lease, the yard has nothing."""

    async def register() -> None:
        for camera in ("gate", "yard"):
            live.context.licensing.register(CameraId(camera))

    live.run(register())
    answer = tmp_path / "answer"
    answer.write_text(live.lease("gate", cameras_allowed=1, packs=("retail",)))
    assert run("license", "import", str(answer))[0] == 0
    return live


def test_explain_tells_of_the_worst_camera(two: LiveAgent, run: Run) -> None:
    code, out, _ = run("explain")
    assert code == 0
    text = " ".join(out.split())
    assert text.startswith("Device no other camera is worse than yard State camera yard is expired (NO_LICENSE)")
    assert "yard is stopped: nobody has said anything about it yet" in text
    assert "row 1: no evidence in any reachable tier or file: nothing has been heard or imported" in text
    assert "Evidence none: nothing has been heard or imported" in text
    assert "2nd of 1 allowed, by seniority" in text
    assert "import a lease: tapi-agent license request" in text


def test_explain_is_a_page_that_can_be_read(two: LiveAgent, run: Run) -> None:
    two.machine.advance(timedelta(minutes=7))
    code, out, _ = run("explain", "--camera", "gate")
    assert code == 0
    assert lines(out) == [
        "State      camera gate is valid (OK)",
        "Means      gate works without warnings: the license was confirmed 7 min ago",
        "Rule       row 9: otherwise: no other row holds at t 2027-03-01 12:07:00 UTC",
        "Deadlines  stale 2027-03-01 13:00:00 UTC",
        "           overrun 2027-03-31 12:00:00 UTC",
        "           limit 2027-04-07 12:00:00 UTC",
        "Evidence   base, signed by k1, from import, verified 2027-03-01 12:00:00 UTC (7",
        "           min ago)",
        "Link       not tried yet; silence counts from 2027-03-01 12:07:00 UTC",
        "Place      1st of 1 allowed, by seniority",
        "Clock      nothing odd about it",
        "Next       offline (AUTHORITY_UNREACHABLE) on 2027-03-01 13:00:00 UTC (in 53",
        "           min) unless the service answers",
        "To do      nothing",
    ]
    assert max(map(len, lines(out))) <= 80


def test_a_box_whose_cameras_are_valid_is_not_explained_by_its_tenant(live: LiveAgent, run: Run) -> None:
    live.run(live.context.licensing.validate(CameraId("gate"), wait=timedelta(seconds=5)))
    assert live.context.licensing.questions.explain(CameraId("")).view.standing.state == "expired"
    with live.http() as http:
        document = http.get("/api/v1/license/explain").json()
    assert (document["camera_id"], document["state"], document["evidence_of"]) == ("gate", "valid", "gate")
    assert "classic (unsigned), from billing" in " ".join(run("explain")[1].split())


def test_without_cameras_the_tenant_is_explained(run: Run) -> None:
    out = " ".join(run("explain")[1].split())
    assert out.startswith("Device no cameras are registered: this is the tenant State the tenant is expired")


def test_explain_says_why_the_last_attempt_failed(two: LiveAgent, run: Run) -> None:
    two.billing.offline()
    two.run(two.context.licensing.refresh())
    out = " ".join(run("explain", "--camera", "gate")[1].split())
    assert "Link the last attempt failed: " in out


def test_explain_tells_of_clock_and_machine(two: LiveAgent, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    two.machine.set_wall(START - timedelta(hours=2))
    device = two.context.licensing.device()
    monkeypatch.setattr(Licensing, "device", lambda _: replace(device, drifted=["disk", "mac"]))
    out = " ".join(run("explain", "--camera", "gate")[1].split())
    assert "Clock clock.rollback → set this machine's clock" in out
    assert "Machine changed since the lease: disk, mac" in out


def test_the_rule_that_fired_has_its_instants(two: LiveAgent, run: Run) -> None:
    two.machine.advance(timedelta(days=31))
    two.run(two.context.licensing.reevaluate())
    document = json.loads(run("explain", "--camera", "gate", "--json")[1])
    assert document["rule"] == {
        "row": 7,
        "condition": "lost and t ≥ verified_at + offline allowance",
        "holds": "lost and t 2027-04-01 12:00:00 UTC ≥ verified_at 2027-03-01 12:00:00 UTC + offline allowance 30 d",
    }
    assert document["age_s"] == timedelta(days=31).total_seconds()


def test_explain_knows_whom_it_does_not_know(two: LiveAgent, run: Run) -> None:
    assert "camera shed (not registered here) is expired" in " ".join(run("explain", "--camera", "shed")[1].split())


def test_explain_is_json_too(two: LiveAgent, run: Run) -> None:
    document = json.loads(run("explain", "--camera", "gate", "--json")[1])
    assert (document["camera_id"], document["place"], document["allowed"], document["rule"]["row"]) == ("gate", 1, 1, 9)


def test_simulate_is_a_table_for_each_fate(two: LiveAgent, run: Run) -> None:
    code, out, _ = run("simulate", "--offline", "45d")
    assert code == 0
    assert [line.split()[3] for line in lines(out) if line.startswith("20")] == [
        "expired",
        "valid",
        "offline",
        "grace",
        "expired",
    ]


def test_simulate_says_of_whom_it_speaks(two: LiveAgent, run: Run) -> None:
    code, out, _ = run("simulate", "--at", "2027-03-03", "--camera", "gate")
    assert (code, lines(out)) == (
        0,
        [
            "gate, without contact until 2027-03-03 00:00:00 UTC:",
            "FROM                     STATE    REASON",
            "2027-03-01 12:00:00 UTC  valid    OK",
            "2027-03-01 13:00:00 UTC  offline  AUTHORITY_UNREACHABLE",
            "",
        ],
    )


def test_a_date_without_a_zone_is_utc_for_both(two: LiveAgent, run: Run) -> None:
    with two.http() as http:
        asked = http.get("/api/v1/license/simulate?at=2027-03-20T10:00:00").json()
    said = json.loads(run("simulate", "--at", "2027-03-20T10:00:00", "--json")[1])
    assert asked["until"] == said["until"] == "2027-03-20T10:00:00Z"
    assert "UTC where no zone" in " ".join(run("simulate", "--help")[1].replace("│", " ").split())


@pytest.mark.parametrize(
    ("query", "status", "code", "pointer"),
    [
        ("", 400, "not_simulated", "#/offline_s"),
        ("offline_s=60&at=2027-04-01T00:00:00Z", 400, "not_simulated", "#/offline_s"),
        ("at=2020-01-01T00:00:00Z", 400, "not_simulated", "#/at"),
        ("at=2020-01-01", 400, "not_simulated", "#/at"),
        ("at=2047-01-01T00:00:00Z", 400, "not_simulated", "#/at"),
        ("at=0001-01-01T00:00:00%2B14:00", 400, "not_simulated", "#/at"),
        ("at=9999-12-31T23:59:59-14:00", 400, "not_simulated", "#/at"),
        ("at=soon", 400, "bad_parameter", "?at"),
        ("offline_s=0", 400, "bad_parameter", "?offline_s"),
        ("offline_s=-1", 400, "bad_parameter", "?offline_s"),
        ("offline_s=1e12", 400, "bad_parameter", "?offline_s"),
        ("offline_s=nan", 400, "bad_parameter", "?offline_s"),
    ],
)
def test_what_cannot_be_simulated_is_a_problem(live: LiveAgent, query: str, status: int, code: str, pointer) -> None:
    with live.http() as http:
        reply = http.get(f"/api/v1/license/simulate?{query}")
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.json()["errors"][0]["pointer"] == pointer


def test_a_camera_that_is_not_here_is_not_simulated(two: LiveAgent, run: Run) -> None:
    with two.http() as http:
        reply = http.get("/api/v1/license/simulate?offline_s=60&camera_id=shed")
    assert (reply.status_code, reply.json()["code"]) == (404, "camera_unknown")
    code, out, err = run("simulate", "--offline", "1d", "--camera", "shed")
    assert (code, out) == (2, "")
    assert "'shed'" in err


@pytest.mark.parametrize("options", [[], ["--offline", "1d", "--at", "2027-04-01"], ["--offline", "1w"], ["--at", "x"]])
def test_simulate_refuses_what_it_cannot_read(run: Run, options: list[str]) -> None:
    assert run("simulate", *options)[0] == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", f"camera_id={'x' * 129}"])
def test_history_refuses_what_is_out_of_range(live: LiveAgent, query: str) -> None:
    with live.http() as http:
        reply = http.get(f"/api/v1/license/history?{query}")
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_parameter")


def test_history_waits_for_its_database(two: LiveAgent, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object, **__: object) -> NoReturn:
        raise UnavailableError("PostgreSQL gave no answer", fix="start it")

    monkeypatch.setattr(MemoryLicenseLog, "history", down)
    with two.http() as http:
        reply = http.get("/api/v1/license/history")
    assert (reply.status_code, reply.json()["code"]) == (503, "unavailable")
    code, out, err = run("license", "history")
    assert (code, out) == (4, "")
    assert "PostgreSQL gave no answer" in err


def test_history_is_newest_first(two: LiveAgent, run: Run) -> None:
    for days in (2, 30):
        two.machine.advance(timedelta(days=days))
        two.run(two.context.licensing.reevaluate())
    code, out, _ = run("license", "history", "--camera", "gate")
    assert code == 0
    assert lines(out) == [
        "WHEN                     CAMERA  CHANGE           REASON",
        "2027-04-02 12:00:00 UTC  gate    offline → grace  OFFLINE_OVERRUN",
        "2027-03-03 12:00:00 UTC  gate    valid → offline  AUTHORITY_UNREACHABLE",
        "2027-03-01 12:00:00 UTC  gate    expired → valid  OK",
    ]
    assert len(json.loads(run("license", "history", "--limit", "2", "--json")[1])["edges"]) == 2


def test_wait_ends_when_the_state_is_there(two: LiveAgent, run: Run) -> None:
    assert run("wait", "--for", "valid,offline", "--camera", "gate")[:2] == (0, "valid\n")


def test_wait_gives_up(two: LiveAgent, run: Run) -> None:
    code, out, _ = run("wait", "--for", "valid", "--timeout", "1s")
    assert (code, out) == (6, "expired\n")


def test_wait_without_an_agent_is_4(run: Run, tmp_path: Path) -> None:
    code, out, err = run("wait", "--for", "valid", "--timeout", "1s", "--socket", str(tmp_path / "none"))
    assert (code, out) == (4, "")
    assert "no agent answers" in err


def test_wait_waits_for_an_agent_that_starts_later(two: LiveAgent, run: Run, tmp_path: Path) -> None:
    later = tmp_path / "later"
    appearing = threading.Timer(0.5, later.symlink_to, [two.socket])
    appearing.start()
    began = time.monotonic()
    assert run("wait", "--for", "valid", "--camera", "gate", "--socket", str(later))[:2] == (0, "valid\n")
    assert time.monotonic() - began >= 0.5
    appearing.join()


def test_wait_shows_every_state_it_sees(two: LiveAgent, run: Run) -> None:
    async def go_by() -> None:
        two.machine.advance(timedelta(hours=2))
        await two.context.licensing.reevaluate()

    passing = threading.Timer(0.5, lambda: two.run(go_by()))
    passing.start()
    assert run("wait", "--for", "offline", "--camera", "gate")[:2] == (0, "valid\noffline\n")
    passing.join()


def test_wait_refuses_a_state_that_is_none(run: Run) -> None:
    code, _, err = run("wait", "--for", "fine")
    assert code == 2
    assert "valid, offline, grace, expired" in " ".join(err.split())


def test_silence_is_explained_with_what_it_leads_to(two: LiveAgent, run: Run) -> None:
    two.machine.advance(timedelta(days=31))
    two.run(two.context.licensing.reevaluate())
    out = " ".join(run("explain", "--camera", "gate")[1].split())
    assert "is grace (OFFLINE_OVERRUN)" in out
    assert f"limit {(START + timedelta(days=37)):%Y-%m-%d}" in out
