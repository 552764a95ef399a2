"""Folders of old SQLite files, the import on a real database, and what is stored, read back in a test's own words."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row

from tapi_agent.adapters.legacy.folder import LegacyFolder
from tapi_agent.adapters.postgres.imports import PostgresImports
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.ids import DeviceId, TenantId
from tapi_agent.services.importing import Importing
from tapi_agent.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tapi_agent.domain.importing.reports import FileReport

TENANT: Final = TenantId("acme")
DEVICE: Final = DeviceId("box")
START: Final = 1_700_000_000_000
INSTALLED: Final = Path(sys.executable).parent / "tapi-agent"
MAKER: Final = Path(__file__).parents[4] / "shared" / "tools" / "make_legacy_sqlite.py"

CONFIG: Final = """
CREATE TABLE config (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at INTEGER NOT NULL);
CREATE TABLE camera_config (camera_id TEXT PRIMARY KEY, config TEXT NOT NULL, updated_at INTEGER NOT NULL);
"""
TELEMETRY: Final = """
CREATE TABLE telemetry_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, camera_id TEXT NOT NULL, timestamp INTEGER NOT NULL,
    event_type INTEGER NOT NULL, source_id TEXT NOT NULL, properties TEXT NOT NULL DEFAULT '{}', frame_id INTEGER,
    created_at INTEGER);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY AUTOINCREMENT, camera_id TEXT NOT NULL, timestamp INTEGER NOT NULL, thumbnail BLOB,
    width INTEGER, height INTEGER, created_at INTEGER);
CREATE TABLE analytics_summary (
    camera_id TEXT NOT NULL, summary_key TEXT NOT NULL, summary_value TEXT NOT NULL DEFAULT '{}', last_updated INTEGER,
    PRIMARY KEY (camera_id, summary_key));
CREATE TABLE time_series_buckets (
    camera_id TEXT NOT NULL, bucket_timestamp INTEGER NOT NULL, bucket_size INTEGER NOT NULL,
    event_type INTEGER NOT NULL, class_name TEXT, event_count INTEGER NOT NULL DEFAULT 0, last_updated INTEGER,
    PRIMARY KEY (camera_id, bucket_timestamp, bucket_size, event_type, class_name));
CREATE TABLE class_distribution (
    camera_id TEXT NOT NULL, class_name TEXT NOT NULL, event_type INTEGER NOT NULL,
    total_count INTEGER NOT NULL DEFAULT 0, last_updated INTEGER, PRIMARY KEY (camera_id, class_name, event_type));
CREATE TABLE dwell_times (
    camera_id TEXT NOT NULL, track_id TEXT NOT NULL, class_name TEXT NOT NULL, first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL, detection_count INTEGER NOT NULL DEFAULT 1,
    dwell_time_ms INTEGER GENERATED ALWAYS AS (last_seen - first_seen) STORED, last_updated INTEGER,
    PRIMARY KEY (camera_id, track_id, class_name));
CREATE TABLE event_type_counts (
    camera_id TEXT NOT NULL, event_type INTEGER NOT NULL, total_count INTEGER NOT NULL DEFAULT 0,
    recent_count_24h INTEGER NOT NULL DEFAULT 0, last_updated INTEGER, last_24h_updated INTEGER,
    PRIMARY KEY (camera_id, event_type));
"""

_MS: Final = "(extract(epoch FROM {}) * 1000)::bigint AS {}"
_TYPE: Final = (
    "CASE event_type WHEN 'detection' THEN 0 WHEN 'tracking' THEN 1 WHEN 'crossing' THEN 2"
    " WHEN 'classification' THEN 3 WHEN 'custom' THEN 4 END AS event_type"
)
STORED: Final = {
    "config": "key, value::text AS value, extract(epoch FROM updated_at)::bigint AS updated_at FROM config",
    "camera_config": "camera_id, config::text AS config, extract(epoch FROM registered_at)::bigint AS updated_at"
    " FROM cameras",
    "frames": f"frame_id AS id, camera_id, {_MS.format('captured_at', 'timestamp')}, thumbnail, width, height,"
    f" {_MS.format('created_at', 'created_at')} FROM frames",
    "telemetry_events": f"event_id AS id, camera_id, {_MS.format('occurred_at', 'timestamp')}, {_TYPE}, source_id,"
    f" properties::text AS properties, frame_id, {_MS.format('created_at', 'created_at')} FROM telemetry_events",
    "analytics_summary": "camera_id, summary_key, value::text AS summary_value,"
    f" {_MS.format('counted_at', 'last_updated')} FROM telemetry_aggregates WHERE kind = 'summary'",
    "time_series_buckets": f"camera_id, {_MS.format('bucket_start', 'bucket_timestamp')},"
    f" {_MS.format('bucket', 'bucket_size')}, {_TYPE}, class_name, events AS event_count,"
    f" {_MS.format('counted_at', 'last_updated')} FROM telemetry_aggregates WHERE kind = 'series'",
    "class_distribution": f"camera_id, class_name, {_TYPE}, events AS total_count,"
    f" {_MS.format('counted_at', 'last_updated')} FROM telemetry_aggregates WHERE kind = 'class'",
    "dwell_times": f"camera_id, track_id, class_name, {_MS.format('first_seen', 'first_seen')},"
    f" {_MS.format('last_seen', 'last_seen')}, detections AS detection_count, {_MS.format('dwell', 'dwell_time_ms')},"
    f" {_MS.format('counted_at', 'last_updated')} FROM dwell_times",
    "event_type_counts": f"camera_id, {_TYPE}, events AS total_count, recent_events AS recent_count_24h,"
    f" {_MS.format('counted_at', 'last_updated')}, {_MS.format('recent_counted_at', 'last_24h_updated')}"
    " FROM telemetry_aggregates WHERE kind = 'type'",
}
"""Each old table as it should be found again, column by column; beside ``sql/imports.sql``, and unlike it."""


def camera(name: str) -> dict[str, Any]:
    """What the old application kept of a camera, with keys that no column has."""
    lines = [{"id": "l1", "name": "Tor", "start_x": 0.5, "start_y": -3, "end_x": 1e3, "end_y": 20, "color": "red"}]
    areas = [{"id": "a1", "polygon": [{"x": 1, "y": 1.5}, {"x": 9, "y": 1}, {"x": 9, "y": 9}], "zone_type": "dwell"}]
    return {
        "id": name,
        "name": f"Gate “{name}”",
        "running": name != "cam-2",
        "source": {"type": "rtsp", "url": "rtsp://10.0.0.1/1", "fps": 12.50},
        "processors": [
            {"id": "det", "type": "object_detection", "config": {"classes": ["car"]}},
            {"id": "lines", "type": "line_zone_manager", "config": {"zones": lines}},
            {"id": "areas", "type": "polygon_zone_manager", "config": {"zones": areas}},
        ],
        "sinks": [{"id": "file", "type": "file"}],
        "remark": None,
    }


def write_config(path: Path, cameras: list[str]) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(CONFIG)
        settings = {"url": '"http://x"', "limit": "18446744073709551615", "ratio": "0.10", "none": "null", "on": "true"}
        db.executemany("INSERT INTO config VALUES (?, ?, ?)", [(*pair, START // 1000) for pair in settings.items()])
        texts = [(name, json.dumps(camera(name), ensure_ascii=False, indent=1), START // 1000) for name in cameras]
        db.executemany("INSERT INTO camera_config VALUES (?, ?, ?)", texts)


def add_events(db: sqlite3.Connection, name: str, numbers: range) -> None:
    """Events every ten minutes, so that a few thousand take more than one month."""
    properties = '{"class_name": "пешеход", "id": "\\u0001", "at": [0.10, -1E5, 9007199254740993], "deep": {"a": [{}]}}'
    db.executemany(
        "INSERT INTO telemetry_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (i, name, START + i * 600_000, i % 5, f"z\t{i % 3}\\", properties, i % 7 or None, START if i % 2 else None)
            for i in numbers
        ],
    )


def write_telemetry(path: Path, name: str, events: int) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(TELEMETRY)
        add_events(db, name, range(1, events + 1))
        db.executemany(
            "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (i, name, START + i, bytes(range(i % 256)) if i % 4 else None, 320, None, None)
                for i in range(-2, events)
            ],
        )
        db.executemany(
            "INSERT INTO analytics_summary VALUES (?, ?, ?, ?)",
            [(name, "total", '{"n": 1}', START), (name, "", "[1]", None)],
        )
        db.executemany(
            "INSERT INTO time_series_buckets VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (name, START + h * 3_600_000, 3_600_000, 0, kind, h, START)
                for h in range(9)
                for kind in (None, "car", "")
            ],
        )
        db.executemany("INSERT INTO class_distribution VALUES (?, ?, ?, ?, ?)", [(name, "歩", 2, 2**63 - 1, START)])
        db.executemany(
            "INSERT INTO dwell_times (camera_id, track_id, class_name, first_seen, last_seen, last_updated)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(name, str(i), "car", START, START + 1000 - i * 999, START) for i in range(3)],
        )
        db.executemany("INSERT INTO event_type_counts VALUES (?, ?, ?, ?, ?, ?)", [(name, 4, 7, 1, START, None)])


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with two cameras, 120 events each."""
    return old_folder(tmp_path / "old", cameras=2, events=120)


@pytest.fixture
def make_old(tmp_path: Path) -> Callable[..., Path]:
    """Folders of any size."""
    return lambda cameras, events: old_folder(tmp_path / f"old-{cameras}-{events}", cameras=cameras, events=events)


def old_folder(folder: Path, *, cameras: int, events: int) -> Path:
    folder.mkdir()
    names = [f"cam-{number}" for number in range(1, cameras + 1)]
    write_config(folder / "config.db", names)
    for name in names:
        write_telemetry(folder / f"telemetry_{name}.db", name, events)
    return folder


@pytest.fixture
def genuine(tmp_path: Path) -> Callable[[int, int], Path]:
    """Folders as the old application wrote them, by the generator kept beside the checkout; skipped without it."""
    if not MAKER.is_file():
        pytest.skip("no shared/tools beside the checkout")

    def make(cameras: int, events: int) -> Path:
        folder = tmp_path / "genuine"
        command = [sys.executable, MAKER, folder, "--cameras", str(cameras), "--events", str(events)]
        subprocess.run(command, check=True)
        return folder

    return make


@pytest.fixture
def import_into(database_dsn: str) -> Any:
    """The import of a folder into the test's database: reports by file name."""

    async def run(
        folder: Path | LegacyFolder, *, device: str = DEVICE, dsn: str = database_dsn
    ) -> dict[str, FileReport]:
        database = Database(dsn=dsn, size=2, statement_timeout=timedelta(minutes=1))
        await database.open()
        store = PostgresImports(database=database, tenant_id=TENANT, device_id=DeviceId(device), agent_version="1.2.3")
        files = LegacyFolder(folder) if isinstance(folder, Path) else folder
        work = Importing(folder=files, store=store, clock=FakeClock())
        try:
            return {file.name: await work.take_over(file) for file in work.files()}
        finally:
            await database.close()

    return run


@pytest.fixture
def environment(database_dsn: str) -> Iterator[dict[str, str]]:
    """Settings of the command; the folder of its state is short enough for sockets, and not there yet."""
    with tempfile.TemporaryDirectory(prefix="ta-", dir="/tmp") as folder:
        yield {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TAPI_STATE_DIR": f"{folder}/state",
            "POSTGRES_DSN": database_dsn,
            "TENANT_ID": TENANT,
            "EDGE_DEVICE_ID": DEVICE,
        }


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as a shell would run it, on the test's database."""

    def run(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [INSTALLED, "import-sqlite", *arguments],
            env=environment | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def launch(tmp_path: Path, environment: dict[str, str]) -> Callable[..., subprocess.Popen[bytes]]:
    """The command, started and left alone."""

    def start(folder: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [INSTALLED, "import-sqlite", folder],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )

    return start


@pytest.fixture
def sql(database_dsn: str) -> Any:
    """Ask the database."""
    with psycopg.connect(database_dsn, row_factory=dict_row, autocommit=True) as connection:

        def ask(query: str, *values: object) -> list[dict[str, object]]:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

        yield ask


@pytest.fixture
def stored(sql: Any) -> Callable[[str], list[tuple[object, ...]]]:
    """What is stored of an old table, sorted, as rows of the old one."""
    return lambda table: in_order(sql(f"SELECT {STORED[table]}"))


@pytest.fixture
def differing(stored: Callable[[str], list[tuple[object, ...]]]) -> Callable[[Path], list[str]]:
    """The old tables of which another content is stored than a folder has."""
    return lambda folder: [table for table in STORED if stored(table) != source_rows(folder, table)]


@pytest.fixture
def source() -> Callable[[Path, str], list[tuple[object, ...]]]:
    """What the old files hold of a table, sorted."""
    return source_rows


def source_rows(folder: Path, table: str) -> list[tuple[object, ...]]:
    rows: list[dict[str, object]] = []
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = lambda cursor, row: dict(zip([one[0] for one in cursor.description], row, strict=True))
            if db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
                columns = [row["name"] for row in db.execute(f"PRAGMA table_xinfo({table})")]
                rows += db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()  # noqa: S608 - ours
    return in_order(rows)


def in_order(rows: list[dict[str, object]]) -> list[tuple[object, ...]]:
    """Rows as sorted (column, value) pairs: a column that is missing on one side shows."""
    return sorted((tuple(sorted(row.items())) for row in rows), key=repr)
