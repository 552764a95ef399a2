"""The command as an operator and a script see it: what it prints, how it ends, what it writes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow


def test_an_import_and_its_repetition(command: Command, old: Path, sql: Any) -> None:
    first = command(old)
    assert (first.returncode, first.stderr) == (0, "")
    assert "files read to the end: 3 (config.db, telemetry_cam-1.db, telemetry_cam-2.db)" in first.stdout
    lines = {line.split()[0]: line.split()[1:] for line in first.stdout.splitlines()}
    assert lines["telemetry_events"] == ["240", "240", "0", "0", "equal"]
    assert sql("SELECT DISTINCT tenant_id, device_id FROM import_files") == [{"tenant_id": "acme", "device_id": "box"}]
    again = command(old)
    assert again.returncode == 0
    assert "files known before, not read again: 3" in again.stdout


def test_for_another_tenant_and_device(command: Command, old: Path, sql: Any) -> None:
    assert command(old, "--tenant", "other", "--device", "shed").returncode == 0
    assert sql("SELECT DISTINCT tenant_id, device_id FROM cameras") == [{"tenant_id": "other", "device_id": "shed"}]
    assert sql("SELECT DISTINCT tenant_id FROM telemetry_events") == [{"tenant_id": "other"}]


def test_in_json(command: Command, old: Path) -> None:
    done = command(old, "--json")
    document = json.loads(done.stdout)
    assert (document["schema"], document["dry_run"], document["clean"]) == (1, False, True)
    assert [file["outcome"] for file in document["files"]] == ["imported"] * 3
    events = document["files"][1]["tables"]["telemetry_events"]
    assert (events["read"], events["imported"], len(events["checksum"])) == (120, 120, 16)


def test_quarantine_is_1_every_time_until_it_is_empty(command: Command, old: Path, sql: Any) -> None:
    (old / "telemetry_cam-2.db").write_bytes(b"\x1b[2J no database" * 100)
    done = command(old)
    assert done.returncode == 1
    assert "telemetry_cam-2.db: quarantined" in done.stdout
    *_, verdict, remedy = done.stdout.splitlines()
    assert verdict == "need a look: 1 of 3 files"
    assert "FROM import_quarantine; docs/import-sqlite.md" in remedy
    assert command(old).returncode == 1
    sql("DELETE FROM import_quarantine")
    (old / "telemetry_cam-2.db").unlink()
    assert command(old).returncode == 0


def test_hostile_names_do_not_reach_the_terminal(command: Command, old: Path) -> None:
    (old / "telemetry_\x1b[2J.db").write_bytes(b"x")
    done = command(old)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert "telemetry_\\x1b[2J.db" in done.stdout


def test_a_dry_run_needs_no_database_and_writes_nothing(
    command: Command, old: Path, environment: dict[str, str], sql: Any
) -> None:
    nowhere = {"POSTGRES_DSN": "postgresql://127.0.0.1:1/none"}
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    done = command(old, "--dry-run", **nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert "telemetry_events     240   240" in done.stdout
    (old / "telemetry_cam-2.db").write_bytes(b"no database")
    trial = command(old, "--dry-run", "--json", **nowhere)
    assert (trial.returncode, json.loads(trial.stdout)["dry_run"]) == (1, True)
    assert not Path(environment["TAPI_STATE_DIR"]).exists()
    assert sql("SELECT count(*) AS rows FROM import_files") == [{"rows": 0}]
    (old / "telemetry_cam-2.db").write_bytes(before["telemetry_cam-2.db"])
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "words"),
    [
        pytest.param(["nowhere"], {}, 2, "nowhere cannot be listed: No such file or directory", id="no folder"),
        pytest.param(["."], {"TENANT_ID": ""}, 78, "TENANT_ID is not set", id="no tenant"),
        pytest.param(["."], {"POSTGRES_DSN": "postgresql://127.0.0.1:1/x"}, 4, "Connection refused", id="no database"),
        pytest.param([], {}, 2, "Missing argument 'DIR'", id="no argument"),
    ],
)
def test_what_it_cannot_do_it_says(
    command: Command, arguments: list[str], settings: dict[str, str], code: int, words: str
) -> None:
    done = command(*arguments, **settings)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_is_shown_on_a_terminal(old: Path, launch: Any) -> None:
    screen, terminal = pty.openpty()
    process = launch(old, stderr=terminal)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal gives at its end
        while part := os.read(screen, 4096):
            shown += part
    os.close(screen)
    assert process.wait() == 0
    assert b"telemetry_cam-1.db" in shown
    assert b"kB" in shown
