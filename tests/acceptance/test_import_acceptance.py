"""Zero loss in migration: 128 cameras of 20 000 events, killed once on the way, at speed and in flat memory."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from tapi_agent.testing.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]

CAMERAS: Final = 128
EVENTS: Final = 20_000
ROWS_A_SECOND: Final = 20_000
MEMORY_KB: Final = 150 * 1024
MAKER: Final = Path(__file__).parents[3] / "shared" / "tools" / "make_legacy_sqlite.py"
INSTALLED: Final = Path(sys.executable).parent / "tapi-agent"

_TYPE: Final = "array_position(ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'], event_type) - 1"
_MS: Final = "trunc(extract(epoch FROM {}) * 1000)"
SIDES: Final = {
    "telemetry_events": (
        [
            "id",
            "camera_id",
            "timestamp",
            "event_type",
            "source_id",
            "properties",
            "created_at",
            "coalesce(frame_id, '-')",
        ],
        [
            *("event_id", "camera_id", _MS.format("occurred_at"), _TYPE, "source_id", "properties"),
            *(_MS.format("created_at"), "coalesce(frame_id::text, '-')"),
        ],
        "telemetry_events",
    ),
    "frames": (
        ["id", "camera_id", "timestamp", "iif(thumbnail IS NULL, '-', lower(hex(thumbnail)))", "width"],
        ["frame_id", "camera_id", _MS.format("captured_at"), "coalesce(encode(thumbnail, 'hex'), '-')", "width"],
        "frames",
    ),
    "dwell_times": (
        ["camera_id", "track_id", "class_name", "dwell_time_ms", "detection_count"],
        ["camera_id", "track_id", "class_name", _MS.format("dwell"), "detections"],
        "dwell_times",
    ),
    "time_series_buckets": (
        ["camera_id", "bucket_timestamp", "event_type", "coalesce(class_name, '-')", "event_count"],
        ["camera_id", _MS.format("bucket_start"), _TYPE, "coalesce(class_name, '-')", "events"],
        "telemetry_aggregates WHERE kind = 'series'",
    ),
}
"""The same columns in the words of SQLite and of PostgreSQL, and where PostgreSQL has them."""

IMPORTED: Final = "SELECT sum((one.value->>'imported')::bigint)::bigint FROM import_files, json_each(tables) AS one"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Made once; on a disk with 3 GiB free."""
    if not MAKER.is_file():
        pytest.skip("no shared/tools beside the checkout")
    with tempfile.TemporaryDirectory(prefix="ta-") as place:
        command = [sys.executable, MAKER, place, "--cameras", str(CAMERAS), "--events", str(EVENTS)]
        subprocess.run(command, check=True)
        yield Path(place)


@pytest.fixture
def environment(database_dsn: str) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as state:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": state,
            "TAPI_STATE_DIR": state,
            "POSTGRES_DSN": database_dsn,
            "TENANT_ID": "acme",
            "EDGE_DEVICE_ID": "box",
        }


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def old_sums(folder: Path, table: str, columns: list[str]) -> tuple[int, int]:
    """Rows, and a sum of their contents that knows no order."""
    rows = total = 0
    text = " || '|' || ".join(columns)
    for path in folder.glob("telemetry_*.db"):
        with closing(sqlite3.connect(path)) as db:
            for (row,) in db.execute(f"SELECT {text} FROM {table}"):  # noqa: S608 - ours
                rows += 1
                total += int(hashlib.md5(row.encode(), usedforsecurity=False).hexdigest()[:15], 16)
    return rows, total


def new_sums(connection: psycopg.Connection[Any], columns: list[str], place: str) -> tuple[int, int]:
    text = " || '|' || ".join(columns)
    digest = f"('x' || left(md5({text}), 15))::bit(60)::bigint"
    (found,) = connection.execute(f"SELECT count(*), coalesce(sum({digest}), 0) FROM {place}")  # noqa: S608 - ours
    return int(found[0]), int(found[1])


def run(folder: Path, environment: dict[str, str]) -> tuple[float, int]:
    """How long the command took and the most memory it had, in seconds and kB."""
    began, peak = time.perf_counter(), 0
    with subprocess.Popen([INSTALLED, "import-sqlite", folder], env=environment, stdout=subprocess.DEVNULL) as process:

        def ended() -> bool:
            nonlocal peak
            peak = max(peak, high_water(process.pid))
            return process.poll() is not None

        wait_until(ended, within=1800, what="the end of the import")
    assert process.returncode == 0
    return time.perf_counter() - began, peak


def high_water(pid: int) -> int:
    """VmHWM in kB; 0 for a process that is ending."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def test_zero_loss_in_migration(folder: Path, environment: dict[str, str], database_dsn: str) -> None:
    before = fingerprints(folder)
    seconds, peak = run(folder, environment)
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        for table, (old, new, place) in SIDES.items():
            assert new_sums(connection, new, place) == old_sums(folder, table, old), table
        assert connection.execute("SELECT count(*) FROM import_quarantine").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM cameras").fetchone() == (CAMERAS,)
        (rows,) = connection.execute(IMPORTED).fetchone() or (0,)
    assert fingerprints(folder) == before
    sys.stderr.write(f"\n{rows} rows in {seconds:.1f} s: {rows / seconds:.0f} rows/s; peak memory {peak // 1024} MiB\n")
    assert peak <= MEMORY_KB
    assert rows / seconds >= ROWS_A_SECOND


def test_killed_at_some_point_and_run_again(folder: Path, environment: dict[str, str], database_dsn: str) -> None:
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        process = subprocess.Popen([INSTALLED, "import-sqlite", folder], env=environment, stdout=subprocess.DEVNULL)
        recorded = "SELECT 1 FROM import_files HAVING count(*) >= 40"
        try:
            wait_until(lambda: connection.execute(recorded).fetchone(), within=600, what="40 files")
        finally:
            process.kill()
            process.wait()
        run(folder, environment)
        for table, (old, new, place) in SIDES.items():
            assert new_sums(connection, new, place) == old_sums(folder, table, old), table
        assert connection.execute("SELECT count(*), count(DISTINCT file_name) FROM import_files").fetchone() == (
            CAMERAS + 1,
            CAMERAS + 1,
        )
