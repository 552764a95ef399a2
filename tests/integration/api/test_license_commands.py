"""tapi-agent license against a living agent: what an operator of an air-gapped box sees and can test for."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.integration.api.test_cli import command, lines

from tapi_agent.cli.output import console
from tapi_agent.domain.ids import CameraId, DeviceId
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
def gate(live: LiveAgent) -> LiveAgent:
    """An agent with a camera."""

    async def register() -> None:
        live.context.licensing.register(CameraId("gate"))

    live.run(register())
    return live


@pytest.fixture
def answer(gate: LiveAgent, tmp_path: Path) -> Callable[..., str]:
    """A file with leases for the camera and whoever else is named."""

    def write(*others: str, **contents: object) -> str:
        path = tmp_path / "answer"
        path.write_text("\n".join(gate.lease(camera, **contents) for camera in ("gate", *others)))
        return str(path)

    return write


def test_show_is_a_table(gate: LiveAgent, run: Run, monkeypatch: pytest.MonkeyPatch, answer) -> None:
    monkeypatch.setattr(console, "_width", 120)
    run("license", "import", answer(valid_until=START + timedelta(days=300)))
    code, out, _ = run("license", "show")
    assert code == 0
    assert lines(out) == [
        "CAMERA  STATE  MODE  UNTIL       VERIFIED          TIER    KEY  NEXT",
        "gate    valid  base  2027-12-26  2027-03-01 12:00  import  k1   offline 2027-03-01 13:00:00 UTC",
    ]


def test_show_tells_of_what_is_missing(gate: LiveAgent, run: Run) -> None:
    run("license", "request")
    _, out, _ = run("license", "show")
    assert lines(out)[1:] == [
        "gate    expired (NO_LICENSE)  -     -      -         -     -    -",
        "!  the request of 2027-03-01 12:00:00 UTC has no answer yet: only that can be",
        "   imported",
    ]


def test_show_without_cameras_shows_the_tenant(run: Run) -> None:
    assert run("license", "show")[:2] == (0, "no cameras; the tenant itself: expired (NO_LICENSE)\n")


def test_show_one_camera_in_full(gate: LiveAgent, run: Run, answer) -> None:
    run("license", "import", answer(sequence=4, packs=("retail",), cameras_allowed=3))
    code, out, _ = run("license", "show", "--camera", "gate")
    assert code == 0
    assert lines(out) == [
        "Camera    gate",
        "State     valid since 2027-03-01 12:00:00 UTC",
        "Next      offline 2027-03-01 13:00:00 UTC",
        "Mode      base, status active",
        "Packs     retail",
        "Begins    -",
        "Ends      -",
        "Cameras   3",
        "Verified  2027-03-01 12:00:00 UTC, from import",
        "Key       k1, sequence 4",
        "Problem   -",
    ]


def test_a_camera_that_is_not_here_is_not_made_by_looking_at_it(gate: LiveAgent, run: Run) -> None:
    code, _, err = run("license", "show", "--camera", "yard")
    assert (code, err.count("\n"), "license show" in err) == (2, 2, True)
    assert gate.context.licensing.cameras() == ["gate"]


def test_json_is_the_reply_as_it_came(gate: LiveAgent, run: Run, answer) -> None:
    file = answer()
    assert json.loads(run("license", "import", file, "--dry-run", "--json")[1])["dry_run"] is True
    assert json.loads(run("license", "import", file, "--json")[1])["leases"][0]["new"] is True
    assert json.loads(run("license", "show", "--json")[1])["licenses"][0]["key_id"] == "k1"
    assert json.loads(run("license", "show", "--camera", "gate", "--json")[1])["camera_id"] == "gate"
    assert json.loads(run("license", "refresh", "--json")[1])["round"]["cameras"] == 1


def test_a_request_is_written_where_it_should_be(gate: LiveAgent, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("license", "request")
    assert (code, json.loads(out)["kind"]) == (0, "tapi-license-request")
    code, out, _ = run("license", "request", "-o", str(tmp_path / "request"))
    document = json.loads((tmp_path / "request").read_text())
    assert (code, document["cameras"]) == (0, [{"camera_id": "gate", "sequence": 0}])
    assert "license import" in out
    assert run("license", "request", "--withdraw")[:2] == (0, "withdrawn\n")
    assert run("license", "request", "--withdraw")[:2] == (0, "there was no open request\n")


def test_an_import_says_what_it_changes(gate: LiveAgent, run: Run, answer) -> None:
    file = answer("roof", sequence=4, packs=("retail",), valid_until=START + timedelta(days=300))
    code, out, _ = run("license", "import", file, "--dry-run")
    assert code == 0
    shown = lines(out)
    assert shown[:8] == [
        "Lease of  gate",
        "Issued    2027-03-01 12:00:00 UTC, sequence 4, key k1",
        "Says      base, active: retail",
        "Offline   until 2027-03-31 12:00:00 UTC",
        "Ends      2027-12-26 12:00:00 UTC",
        "Changes   expired (NO_LICENSE) → valid",
        "Next      offline 2027-03-01 13:00:00 UTC",
        "",
    ]
    assert shown[8] == "Lease of  roof (not registered here)"
    assert shown[-1] == "dry run of 2: nothing was changed"
    assert lines(run("license", "import", file)[1])[-1] == "imported 2"
    again = lines(run("license", "import", file)[1])
    assert again[5] == "Changes   nothing: it is held already"


def test_leases_may_come_on_standard_input(gate: LiveAgent, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gate.lease(expiry=None).encode())))
    code, out, _ = run("license", "import", "-")
    assert (code, lines(out)[0], lines(out)[3]) == (0, "Lease of  the tenant", "Offline   without end")


@pytest.mark.parametrize(
    ("contents", "said"),
    [({"device_id": DeviceId("box-2")}, "box-2"), ({"key_id": "k9"}, "k9"), ({"nonce": "0" * 32}, "open request")],
    ids=["device", "key", "nonce"],
)
def test_a_refusal_is_7_with_the_remedy(gate: LiveAgent, run: Run, answer, contents, said) -> None:
    run("license", "request")
    code, out, err = run("license", "import", answer(**contents))
    assert (code, out) == (7, "")
    assert said in err
    assert run("license", "show")[1].split()[9] == "expired"


def test_a_file_that_is_not_there_is_2(run: Run, tmp_path: Path) -> None:
    assert run("license", "import", str(tmp_path / "none"))[0] == 2


def test_refresh_says_how_it_went(gate: LiveAgent, run: Run) -> None:
    assert run("license", "refresh")[:2] == (0, "asked for 1 cameras, 0 without an answer; the device: valid\n")
    gate.billing.slow()
    assert run("license", "refresh", "--wait", "0")[:2] == (0, "still asking; the device: valid\n")
    gate.billing.online()


def test_refresh_without_cameras_asks_nobody(run: Run) -> None:
    assert "nothing asked" in run("license", "refresh")[1]
