"""explain, simulate, history and wait against a living agent, by command and by HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.api.test_cli import command, lines

from tapi_agent.domain.ids import CameraId
from tapi_agent.testing.clock import START

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
    assert "camera yard is expired (NO_LICENSE)" in text
    assert "stopped: nobody has said anything about it yet" in text
    assert "row 1: no evidence in any reachable tier or file" in text
    assert "2 by seniority, 1 may work" in text
    assert "import a lease: tapi-agent license request" in text


def test_explain_names_the_evidence(two: LiveAgent, run: Run) -> None:
    out = " ".join(run("explain", "--camera", "gate")[1].split())
    assert "camera gate is valid (OK) Means full function" in out
    assert "base, signed by k1, from import, verified 2027-03-01 12:00:00 UTC" in out
    assert "Next offline on 2027-03-01 13:00:00 UTC" in out


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


@pytest.mark.parametrize(
    "query",
    [
        "",
        "offline_s=0",
        "offline_s=-1",
        "offline_s=1e12",
        "offline_s=60&at=2027-04-01T00:00:00Z",
        "at=2020-01-01T00:00:00Z",
    ],
)
def test_what_cannot_be_simulated_is_a_problem(live: LiveAgent, query: str) -> None:
    with live.http() as http:
        reply = http.get(f"/api/v1/license/simulate?{query}")
    assert reply.status_code in {400, 422}
    assert reply.json()["code"] in {"not_simulated", "bad_parameter"}
    assert reply.json()["errors"][0]["pointer"]


def test_history_is_newest_first(two: LiveAgent, run: Run) -> None:
    two.run(two.context.licensing.reevaluate())
    code, out, _ = run("license", "history", "--camera", "gate")
    assert code == 0
    assert "gate expired → valid OK" in " ".join(out.split())


def test_wait_ends_when_the_state_is_there(two: LiveAgent, run: Run) -> None:
    assert run("wait", "--for", "valid,offline", "--camera", "gate")[:2] == (0, "valid\n")


def test_wait_gives_up(two: LiveAgent, run: Run) -> None:
    code, out, _ = run("wait", "--for", "valid", "--timeout", "1s")
    assert (code, out) == (6, "expired\n")


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
