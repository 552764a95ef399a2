"""license inspect: what it prints, what it takes from the settings, and how it ends."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
import typer
from tests.unit.leases.conftest import LICENSE_KEY, Authority, T

from tapi_agent.cli import license_inspect, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

SIGNER = Authority()
HEX = SIGNER.keys[SIGNER.kid]
TRUSTED = {"TRUSTED_KEYS": f"{SIGNER.kid}:{HEX}"}
TIMELINE = [
    {"at": "2027-03-01T12:00:00Z", "state": "valid", "reason": "OK"},
    {"at": "2027-03-01T13:00:00Z", "state": "offline", "reason": "AUTHORITY_UNREACHABLE"},
    {"at": "2027-03-31T12:00:00Z", "state": "grace", "reason": "OFFLINE_OVERRUN"},
    {"at": "2027-04-07T12:00:00Z", "state": "expired", "reason": "OFFLINE_LIMIT"},
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Inspect with these arguments, this standard input and these settings: exit code, stdout, stderr."""
    app = typer.Typer()
    app.command("inspect")(license_inspect.inspect)
    monkeypatch.setattr(main, "app", app)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAPI_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("EDGE_DEVICE_ID", "box")

    def run(*arguments: str, stdin: str = "", **settings: str) -> tuple[int, str, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tapi-agent", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as caught:
            main.main()
        code = caught.value.code
        return (int(code) if code else 0, *capsys.readouterr())

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    """A file with these leases in it."""

    def file(*leases: str) -> str:
        path = tmp_path / "answer.lic"
        path.write_text("\n".join(leases), encoding="utf-8")
        return str(path)

    return file


def test_a_genuine_lease_as_json(run: Run, file: Callable[..., str]) -> None:
    lease = SIGNER.mint(packs=["retail"], durations={"license_grace_s": None}, nonce="ab" * 16)
    code, out, err = run(file(lease), "--json", **TRUSTED)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema"] == 1
    (found,) = document["leases"]
    assert found.pop("timeline") == TIMELINE
    assert found == {
        "kind": "machine",
        "key_id": SIGNER.kid,
        "issued": "2027-03-01T12:00:00Z",
        "expiry": "2027-03-31T12:00:00Z",
        "tenant_id": "acme",
        "camera_id": "gate",
        "device_id": "box",
        "mode": "base",
        "status": "active",
        "not_before": None,
        "valid_until": None,
        "packs": ["retail"],
        "cameras_allowed": None,
        "sequence": 7,
        "nonce": "ab" * 16,
        "reset_clock": False,
        "components": {},
        "durations": {"freshness_s": 3600.0, "offline_grace_s": 604_800.0, "license_grace_s": 0.0},
    }


def test_a_genuine_lease_for_people(run: Run, file: Callable[..., str]) -> None:
    device = "d" * 100
    lease = SIGNER.mint(device_id=device, packs=["retail", "airports"], components={"nic": "ab" * 32}, valid_until=T)
    code, out, err = run(file(lease), **TRUSTED)
    assert (code, err) == (0, "")
    lines = [line.rstrip() for line in out.split("\n")]
    assert lines[0] == "genuine: a machine file, signed by 2027"
    for label, said in {
        "issued": "2027-03-01 12:00:00 UTC",
        "device": device,
        "camera": "gate",
        "packs": "retail, airports",
        "cameras allowed": "unlimited",
        "not before": "no limit",
        "paid until": "2027-03-01 12:00:00 UTC",
        "sets the clock": "no",
        "marks of the machine": f"nic {'ab' * 32}",
        "offline grace": "7 days, 0:00:00",
    }.items():
        assert f"{label:<23}{said}" in lines
    states = [line.split() for line in lines[lines.index("If nobody answers from then on:") + 2 :] if line]
    assert states == [
        ["2027-03-01", "12:00:00", "UTC", "grace", "LICENSE_LAPSED"],
        ["2027-03-15", "12:00:00", "UTC", "expired", "LICENSE_EXPIRED"],
    ]


def test_a_denied_license_is_a_genuine_lease(run: Run, file: Callable[..., str]) -> None:
    code, out, _ = run(file(SIGNER.mint(status="suspended")), "--json", **TRUSTED)
    assert code == 0
    assert json.loads(out)["leases"][0]["timeline"] == [TIMELINE[0] | {"state": "expired", "reason": "SUSPENDED"}]


def test_the_allowance_of_this_box_is_kept(run: Run, file: Callable[..., str]) -> None:
    _, out, _ = run(file(SIGNER.mint()), "--json", **TRUSTED, LEASE_MAX_OFFLINE_HOURS="48")
    at = [one["at"] for one in json.loads(out)["leases"][0]["timeline"]]
    assert at[2:] == ["2027-03-03T12:00:00Z", "2027-03-10T12:00:00Z"]


def test_several_leases_from_standard_input(run: Run) -> None:
    text = SIGNER.mint(camera_id="") + "\n" + SIGNER.mint(camera_id="gate")
    code, out, _ = run("-", "--json", stdin=text, **TRUSTED)
    assert code == 0
    assert [lease["camera_id"] for lease in json.loads(out)["leases"]] == ["", "gate"]


@pytest.mark.parametrize("given", [HEX, HEX.upper(), f"{SIGNER.kid}:{HEX}"], ids=["digits", "capitals", "with its id"])
def test_everything_may_be_given(run: Run, file: Callable[..., str], given: str) -> None:
    """Options win over settings; an id that was not given is not compared."""
    lease = SIGNER.mint(device_id="elsewhere", license_key=LICENSE_KEY)
    other = Authority().keys["2027"]
    arguments = ["--license-key", LICENSE_KEY, "--fingerprint", "elsewhere", "--public-key", other]
    code, _, err = run(
        file(lease), *arguments, "--public-key", given, LICENSE_KEY="wrong", TRUSTED_KEYS=f"2027:{other}"
    )
    assert (code, err) == (0, "")


def test_an_id_that_was_given_is_compared(run: Run, file: Callable[..., str]) -> None:
    code, _, err = run(file(SIGNER.mint()), "--public-key", f"2028:{HEX}")
    assert code == 7
    assert "kid is another key" in err


def test_the_settings_open_it(run: Run, file: Callable[..., str]) -> None:
    assert run(file(SIGNER.mint(license_key=LICENSE_KEY)), LICENSE_KEY=LICENSE_KEY, **TRUSTED)[0] == 0


def test_the_id_that_the_agent_keeps_opens_it(run: Run, file: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "device.id").write_text("kept-id")
    settings = TRUSTED | {"EDGE_DEVICE_ID": "auto", "LICENSE_KEY": LICENSE_KEY}
    assert run(file(SIGNER.mint(device_id="kept-id", license_key=LICENSE_KEY)), **settings)[0] == 0


def test_an_id_that_cannot_be_read_is_needed_for_machine_files_only(
    run: Run, file: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "device.id").mkdir()
    settings = TRUSTED | {"EDGE_DEVICE_ID": "auto", "LICENSE_KEY": LICENSE_KEY}
    assert run(file(SIGNER.mint()), **settings)[0] == 0
    assert run(file(SIGNER.mint(license_key=LICENSE_KEY)), **settings)[0] == 7
    assert {path.name for path in tmp_path.iterdir()} == {"answer.lic", "device.id"}


TAMPERED = SIGNER.mint().replace("MACHINE", "LICENSE")


@pytest.mark.parametrize(
    ("leases", "settings", "message"),
    [
        ([SIGNER.mint()], {}, "no key is trusted"),
        ([TAMPERED], TRUSTED, "no signature of a trusted key"),
        ([SIGNER.mint(), TAMPERED], TRUSTED, "lease 2 of 2: the lease bears no signature of a trusted key"),
        ([SIGNER.mint(), "Regards"], TRUSTED, "the lease file is damaged: lease 2 of 2"),
        ([SIGNER.mint(), "\xff"], TRUSTED, "the lease file is damaged: lease 2 of 2"),
        ([SIGNER.mint(license_key=LICENSE_KEY)], TRUSTED, "no license key is set"),
    ],
    ids=["no keys", "tampered", "one tampered", "text beside it", "no text", "no license key"],
)
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["people", "json"])
def test_what_is_not_genuine_is_one_line_with_the_remedy(
    run: Run, file: Callable[..., str], options: list[str], leases: list[str], settings: dict[str, str], message: str
) -> None:
    code, out, err = run(file(*leases), *options, **settings)
    assert (code, out) == (7, "")
    said, remedy, end = err.split("\n")
    assert said.startswith("tapi-agent: ")
    assert message in said
    assert remedy.startswith("  → ")
    assert end == ""


@pytest.mark.parametrize(
    "arguments",
    [["nowhere.lic"], ["."], ["-", "--public-key", "ab"], ["-", "--public-key", f"a b:{HEX}"], []],
    ids=["no file", "folder", "short key", "bad id", "nothing"],
)
def test_a_wrong_call_is_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_a_wrong_setting_is_78(run: Run, file: Callable[..., str]) -> None:
    code, _, err = run(file(SIGNER.mint()), TRUSTED_KEYS="nonsense")
    assert code == 78
    assert "TRUSTED_KEYS" in err
