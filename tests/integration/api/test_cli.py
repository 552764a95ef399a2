"""The asking commands against a living agent: what an operator sees, what a script can test for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tapi_agent.api.peer import Level, LevelTable
from tapi_agent.cli import main
from tapi_agent.cli.status import show
from tapi_agent.domain.ids import CameraId

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.api.conftest import LiveAgent

    Run = Callable[..., tuple[int, str, str]]


def command(live: LiveAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TAPI_SOCKET", str(live.socket))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tapi-agent", *arguments])
        capsys.readouterr()
        with capture_logs(), pytest.raises(SystemExit) as caught:
            main.main()
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def run(live: LiveAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against ``live``: exit code, stdout, stderr."""
    return command(live, monkeypatch, capsys)


@pytest.fixture
def run_full(full: LiveAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The same against ``full``."""
    return command(full, monkeypatch, capsys)


def validate(live: LiveAgent, camera: str = "gate") -> None:
    live.run(live.context.licensing.validate(CameraId(camera), wait=timedelta(seconds=5)))


def lines(out: str) -> list[str]:
    return [line.rstrip() for line in out.splitlines()]


def test_status_is_a_page_that_can_be_read(live: LiveAgent, run: Run) -> None:
    validate(live)
    live.machine.advance(timedelta(minutes=7))
    code, out, _ = run("status")
    assert code == 0
    assert lines(out) == [
        "License  valid (OK) since 2027-03-01 12:00:00 UTC (7 min ago)",
        "Next     offline (AUTHORITY_UNREACHABLE) on 2027-03-01 13:00:00 UTC (in 53 min)",
        "         unless the billing service answers",
        "Cameras  1: 1 valid",
        "Usage    the rest is unknown while PostgreSQL is down",
        "Disk     not known yet",
        "Clock    2027-03-01 12:07:00 UTC, confirmed",
        "Device   box-1, tenant acme",
        f"Agent    1.2.3, plugins: {len(live.context.plugins())}",
        "",
        "billing   up since 2027-03-01 12:00:00 UTC (7 min ago)",
        "postgres  down since 2027-03-01 12:00:00 UTC (7 min ago)",
        "          no PostgreSQL in this test",
        "          → none",
        "redis     not tried yet",
        "file      up since 2027-03-01 12:00:00 UTC (7 min ago)",
        "",
        "!  TENANT_ID is too nice",
    ]


def test_a_box_without_cameras_or_license(run: Run) -> None:
    _, out, _ = run("status")
    assert lines(out)[:3] == [
        "License  expired (NO_LICENSE) since 2027-03-01 12:00:00 UTC (0 s ago)",
        "Next     nothing expected",
        "Cameras  none registered: a camera registers when it is first validated",
    ]


def test_a_flush_that_cannot_says_why(run: Run) -> None:
    code, out, _ = run("usage", "flush")
    assert code == 0
    assert "!  PostgreSQL" in out


def test_a_box_without_trouble_says_no_more(living, monkeypatch, capsys) -> None:
    with living(problems=()) as live:
        assert "!" not in command(live, monkeypatch, capsys)("status")[1]


def test_a_box_where_all_is_delivered_or_nothing_can_be(full: LiveAgent, run_full: Run) -> None:
    validate(full)
    assert "Usage    all delivered" in lines(run_full("status")[1])
    run_full("usage", "record", "api_call", "3")
    assert "Usage    1 spooled" in lines(run_full("status")[1])
    full.billing.offline()
    code, out, _ = run_full("usage", "flush")
    assert code == 0
    assert "! " in out
    _, out, _ = run_full("status")
    assert "Usage    1 sealed" in lines(out)
    assert "!  no usage is sent: UNREACHABLE" in out


def hostile(text: str) -> dict:
    """A status of which every text is ``text``."""
    at = "2027-03-01T12:00:00Z"
    return {
        "state": text,
        "reason": text,
        "since": at,
        "flags": [text],
        "next_transition": {"at": at, "to": text, "reason": text},
        "cameras": {"total": 1, "valid": 0, "offline": 0, "grace": 1, "expired": 0},
        "version": text,
        "device_id": text,
        "tenant_id": text,
        "clock": {"trusted_now": at, "wall": at, "confirmed": False, "flags": [text]},
        "dependencies": [{"name": text, "up": False, "since": at, "detail": text, "fix": text}],
        "usage": {
            "spooled": 1,
            "pending": 2,
            "sealed": 3,
            "ambiguous": 4,
            "dead": 5,
            "paused": {"reason": text, "detail": text, "fix": text},
        },
        "space": {"room": "full", "free_bytes": 1, "ballast": False},
        "losses": [{"kind": text, "meter": text, "events": 1, "quantity": text}],
        "plugins": [{"name": text, "enabled": False, "error": text}],
        "problems": [text],
    }


@pytest.mark.parametrize("text", ["[/red]", "\x1b[2J\x9b1m", "[bold]x", ":car:"], ids=ascii)
def test_no_text_of_a_status_steers_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    show(hostile(text))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert out.count(ascii(text)[1:-1]) >= 15
    assert "1 spooled, 2 pending, 3 sealed, 4 ambiguous, 5 dead letters" in out
    assert "1 disabled (tapi-agent plugins list)" in out


@pytest.mark.parametrize("columns", [80, 120])
def test_no_word_is_broken(columns: int, terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    terminal(columns)
    words = "unreachable: certificate verification of billing.example.com:8443 failed, so nothing was said " * 3
    show(
        {
            **hostile("fine"),
            "problems": [words],
            "dependencies": [
                {"name": "billing", "up": False, "since": "2027-03-01T12:00:00Z", "detail": words, "fix": words}
            ],
        }
    )
    out = capsys.readouterr().out
    assert set(words.split()) <= set(out.split())
    assert max(map(len, out.splitlines())) <= columns


def test_colors_are_for_terminals(live: LiveAgent, run: Run) -> None:
    validate(live)
    assert "\x1b[" not in run("status")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["check", "analytics.heatmap"],
        ["entitlements"],
        ["entitlements", "--camera", "gate"],
        ["plugins", "list"],
        ["quota"],
        ["usage", "record", "api_call"],
        ["usage", "summary"],
        ["usage", "flush"],
    ],
    ids=" ".join,
)
def test_json_is_the_agents_reply_and_nothing_else(full: LiveAgent, run_full: Run, arguments: list[str]) -> None:
    validate(full)
    code, out, err = run_full(*arguments, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["schema"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "out"),
    [
        (["analytics.heatmap", "--camera", "gate"], 0, "analytics.heatmap: allowed (LICENSED)\n"),
        (["analytics.near_miss", "--camera", "gate"], 1, "analytics.near_miss: denied (PACK_REQUIRED)\n"),
        (["no.such"], 1, "no.such: denied (FEATURE_UNKNOWN)\n"),
        (["[/]"], 1, "[/]: denied (FEATURE_UNKNOWN)\n"),
        (["analytics.heatmap", "-q"], 0, ""),
        (["no.such", "--quiet"], 1, ""),
    ],
    ids=str,
)
def test_check_answers_by_its_exit_code(live: LiveAgent, run: Run, arguments: list[str], code: int, out: str) -> None:
    validate(live)
    answer = run("check", *arguments)
    assert answer[0] == code
    assert answer[1].startswith(out)
    assert (answer[1] == "") == (out == "")


def test_in_grace_check_warns_and_strict_makes_it_3(live: LiveAgent, run: Run) -> None:
    validate(live)
    live.billing.offline()
    live.machine.advance(timedelta(days=2))
    live.run(live.context.licensing.refresh())
    code, out, _ = run("check", "analytics.heatmap", "--camera", "gate")
    assert (code, out.splitlines()[0]) == (0, "analytics.heatmap: allowed (GRACE)")
    assert "  → the license is in grace" in out
    assert run("check", "analytics.heatmap", "--camera", "gate", "--strict")[0] == 3
    assert run("check", "no.such", "--strict")[0] == 1
    assert run("entitlements", "--camera", "gate")[1].count("the license is in grace") == 1


def test_entitlements_name_the_pack_that_brings_a_feature(live: LiveAgent, run: Run) -> None:
    validate(live)
    _, out, _ = run("entitlements", "--camera", "gate")
    rows = [line.split() for line in lines(out)]
    assert rows[0] == ["FEATURE", "VERDICT", "REASON", "PACK", "THAT", "BRINGS", "IT"]
    assert ["analytics.heatmap", "allowed", "LICENSED"] in rows
    assert ["analytics.near_miss", "denied", "PACK_REQUIRED", "advanced_analytics"] in rows
    assert max(map(len, out.splitlines())) <= 80


def test_usage_is_recorded_shown_and_sent(full: LiveAgent, run_full: Run) -> None:
    at = ["--at", "2027-03-01T11:00:00Z"]
    code, out, _ = run_full("usage", "record", "llm_tokens", "12.5", "--camera", "gate", "--resource", "gpt", *at)
    assert (code, out.split()[0]) == (0, "recorded")
    run_full("usage", "record", "api_call", "--tenant", "globex", *at)
    _, out, _ = run_full("usage", "summary")
    assert [line.split() for line in lines(out)] == [
        ["tenant", "acme"],
        ["DAY", "METER", "EVENTS", "QUANTITY", "UNIT"],
        ["2027-03-01", "llm_tokens", "1", "12.5", "tokens"],
        ["tenant", "globex"],
        ["DAY", "METER", "EVENTS", "QUANTITY", "UNIT"],
        ["2027-03-01", "api_call", "1", "1", "calls"],
    ]
    assert "globex" not in run_full("usage", "summary", "--tenant", "acme")[1]
    _, out, _ = run_full("usage", "flush")
    assert out == "batches sent: 1; events billed: 2, dead letters: 0, in doubt: 0\n"
    billed = {event["event_type"]: event for event in full.billing.billed}
    assert (billed["llm_tokens"]["camera_id"], billed["llm_tokens"]["resource_id"]) == ("gate", "gpt")


def test_quotas_are_listed_and_without_postgresql_said_to_be_incomplete(run: Run) -> None:
    run("usage", "record", "llm_tokens", "12.5")
    code, out, _ = run("quota")
    assert code == 0
    rows = [line.split() for line in lines(out)]
    assert rows[0] == ["METER", "PERIOD", "LIMIT", "USED", "RESERVED", "LEFT", "RESETS"]
    assert ["api_call", "month", "50000", "soft", "0", "0", "50000", "2027-04-01"] in rows
    assert ["llm_tokens", "month", "250000", "hard", "12.5", "0", "249987.5", "2027-04-01"] in rows
    assert "!  PostgreSQL is down:" in out


def test_an_empty_or_partial_summary_says_so(run: Run) -> None:
    _, out, _ = run("usage", "summary")
    assert lines(out) == ["nothing was recorded", "!  PostgreSQL is down: only what is still spooled is shown"]


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        ("2027-03-01T11:00:00", "2027-03-01T11:00:00Z"),
        ("2027-03-01 11:00", "2027-03-01T11:00:00Z"),
        ("2027-03-01T11:00:00+10:00", "2027-03-01T01:00:00Z"),
        ("2027-02-28", "2027-02-28T00:00:00Z"),
    ],
)
def test_a_time_without_zone_is_utc_and_a_key_makes_an_event_count_once(
    full: LiveAgent, run_full: Run, at: str, kept: str
) -> None:
    record = ["usage", "record", "api_call", "--dedupe-key", "k1", "--at", at, "--json"]
    first, second = (json.loads(run_full(*record)[1])["event_id"] for _ in range(2))
    assert first == second
    run_full("usage", "flush")
    (event,) = full.billing.billed
    assert str(event["event_time"]).replace("+00:00", "Z").startswith(kept[:19])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["usage", "record", "api_call", "--dedupe-key", "k"], "needs --at"),
        (["usage", "record", "api_call", "--at", "noon"], "is no ISO 8601 time"),
        (["usage", "record", "nope"], "no meter 'nope'"),
        (["usage", "record", "api_call", "many"], "must be a decimal number"),
        (["usage", "record"], "Missing argument"),
        (["check"], "Missing argument"),
        (["check", "x" * 200], "at most 128 characters"),
        (["check", "\udcff"], "unable to parse"),
    ],
    ids=ascii,
)
def test_what_is_wrong_with_a_call_is_said_with_exit_2(
    live: LiveAgent, run: Run, arguments: list[str], said: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", "").split())
    assert "Traceback" not in err
    assert live.spool.depth == 0


def test_plugins_are_listed(run: Run) -> None:
    _, out, _ = run("plugins", "list")
    assert out.split()[:4] == ["PLUGIN", "VERSION", "STATE", "ADDS"]
    assert "base-catalog" in out


def test_a_plugin_is_shown_with_all_that_it_adds(run: Run) -> None:
    code, out, _ = run("plugins", "show", "base-catalog")
    assert code == 0
    assert "tapi-agent" in out
    assert "first-party" in out
    assert "register_quotas" in out
    assert json.loads(run("plugins", "show", "base-catalog", "--json")[1])["quotas"] == ["api_call", "llm_tokens"]


def test_a_plugin_that_is_not_there_is_no_plugin(run: Run) -> None:
    code, _, err = run("plugins", "show", "nobody")
    assert (code, err) == (2, "tapi-agent: there is no plugin nobody\n  → see: tapi-agent plugins list\n")


def test_a_reload_says_what_came(run: Run) -> None:
    code, out, _ = run("plugins", "reload")
    assert code == 0
    assert out.rstrip().endswith("nothing new came")
    assert json.loads(run("plugins", "reload", "--json")[1])["came"] == []


def test_the_doctor_ends_with_1_when_something_is_wrong(run: Run) -> None:
    code, out, _ = run("doctor")
    assert code == 1
    assert "no PostgreSQL in this test" in out
    assert not json.loads(run("doctor", "--json")[1])["healthy"]


def test_a_plugin_that_is_disabled_says_why(living, monkeypatch, capsys) -> None:
    with living() as live:
        report, *_packs = live.context.plugins()
    broken = type(report)(name="bad", distribution="bad", version="1", enabled=False, error="ImportError: [/x]")
    with living(plugins=lambda: [report, broken]) as live:
        _, out, _ = command(live, monkeypatch, capsys)("plugins", "list")
    assert "disabled" in out
    assert "!  bad: ImportError: [/x]" in out


def test_nobody_there_is_4_with_the_remedy(live: LiveAgent, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("status", "--socket", str(live.socket) + "x")
    assert (code, out) == (4, "")
    assert err == (
        f"tapi-agent: no agent answers on {live.socket}x: no such file or directory\n"
        "  → start it (systemctl start tapi-agent), or name its socket with TAPI_SOCKET\n"
    )


def test_a_level_too_low_is_5_with_the_remedy(living, monkeypatch, capsys) -> None:
    with living(levels=LevelTable(own_uid=-5, groups=(("no-such-group", Level.METER),))) as live:
        live.socket.parent.chmod(0o711)
        live.socket.chmod(0o666)
        user = os.geteuid()
        os.seteuid(user or 65534)  # root may do everything
        try:
            code, _, err = command(live, monkeypatch, capsys)("usage", "record", "api_call")
        finally:
            os.seteuid(user)
    assert code == 5
    assert "needs level meter" in err
    assert "usermod -aG no-such-group" in err


def test_a_reader_that_stops_reading_gets_no_traceback(live: LiveAgent) -> None:
    validate(live)
    environment = {**os.environ, "TAPI_SOCKET": str(live.socket)}
    script = f"{sys.executable} -m tapi_agent entitlements | head -1"
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("FEATURE")
    assert done.stderr == ""
