"""Old files into a real database: everything arrives, once, and the source stays as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest
from typing_extensions import override

from tapi_agent import resources
from tapi_agent.adapters.legacy.folder import LegacyFolder
from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.domain.importing.reports import Outcome
from tapi_agent.domain.importing.tables import CONFIG, TELEMETRY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tapi_agent.adapters.legacy.database import LegacyDatabase
    from tapi_agent.ports.imports import OldFile

TABLES: Final = [table.name for table in (*CONFIG, *TELEMETRY)]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def counts(reports: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """Read, imported, known, quarantined over all files."""
    tables = [table for report in reports.values() for table in report.tables.values()]
    return [sum(getattr(table, name) for table in tables) for name in ("read", "imported", "known", "quarantined")]


def all_codes(reports: dict[str, Any]) -> Counter[str]:
    """Reasons of what is set aside, over all files."""
    return sum((report.codes for report in reports.values()), start=Counter())


async def test_everything_arrives_and_the_source_is_as_before(
    old: Path, import_into: Any, source: Any, differing: Any, sql: Any
) -> None:
    before = digests(old)
    reports = await import_into(old)
    assert {report.outcome for report in reports.values()} == {Outcome.IMPORTED}
    assert differing(old) == []
    read, imported, known, quarantined = counts(reports)
    assert (read, known, quarantined) == (imported, 0, 0)
    assert read == sum(len(source(old, table)) for table in TABLES)
    assert digests(old) == before
    assert sql("SELECT DISTINCT tenant_id, device_id FROM cameras") == [{"tenant_id": "acme", "device_id": "box"}]


async def test_months_are_made_as_the_events_need_them(
    make_old: Any, import_into: Any, differing: Any, sql: Any
) -> None:
    folder = make_old(cameras=1, events=9000)
    await import_into(folder)
    assert differing(folder) == []
    months = sql("SELECT DISTINCT to_char(occurred_at, 'YYYY-MM') AS month FROM telemetry_events ORDER BY 1")
    assert [row["month"] for row in months] == ["2023-11", "2023-12", "2024-01"]


async def test_genuine_files_arrive_whole(genuine: Any, import_into: Any, stored: Any, source: Any) -> None:
    folder = genuine(8, 2000)
    reports = await import_into(folder)
    assert all(report.clean for report in reports.values())
    for table in TABLES:
        there, here = stored(table), source(folder, table)
        assert len(there) == len(here)
        assert checksum(there) == checksum(here), table


def checksum(rows: list[tuple[object, ...]]) -> int:
    """Of contents, without order, and not as the import does it."""
    return sum(int(hashlib.md5(repr(row).encode(), usedforsecurity=False).hexdigest(), 16) for row in rows)


@pytest.mark.parametrize("table", [*CONFIG, *TELEMETRY], ids=lambda table: table.name)
def test_every_old_column_is_read(old: Path, table: Any) -> None:
    file = old / ("config.db" if table in CONFIG else "telemetry_cam-1.db")
    with closing(sqlite3.connect(file)) as db:
        columns = [row[1] for row in db.execute(f"PRAGMA table_xinfo({table.name})")]
    assert sorted(table.columns) == sorted(columns)


def test_the_genuine_schema_is_the_one_these_tests_use(genuine: Any, old: Path) -> None:
    def schema(folder: Path, name: str) -> dict[str, list[tuple[object, ...]]]:
        with closing(sqlite3.connect(folder / name)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in names}

    made = genuine(1, 1)
    assert schema(made, "config.db") == schema(old, "config.db")
    assert schema(made, "telemetry_cam-001.db") == schema(old, "telemetry_cam-1.db")


async def test_a_camera_comes_in_parts_and_whole(old: Path, import_into: Any, sql: Any) -> None:
    await import_into(old)
    assert sql("SELECT camera_id, name, enabled FROM cameras ORDER BY 1") == [
        {"camera_id": "cam-1", "name": "Gate “cam-1”", "enabled": True},
        {"camera_id": "cam-2", "name": "Gate “cam-2”", "enabled": False},
    ]
    parts = sql("SELECT * FROM camera_components WHERE camera_id = 'cam-1' ORDER BY role DESC, place")
    assert [(part["component_id"], part["role"], part["type"], part["place"]) for part in parts] == [
        ("source", "source", "rtsp", 0),
        ("file", "sink", "file", 0),
        ("det", "processor", "object_detection", 0),
        ("lines", "processor", "line_zone_manager", 1),
        ("areas", "processor", "polygon_zone_manager", 2),
    ]
    assert parts[0]["settings"] == {"url": "rtsp://10.0.0.1/1", "fps": 12.5}
    (line,) = sql("SELECT * FROM line_zones WHERE camera_id = 'cam-1'")
    assert (line["component_id"], line["name"], line["start_x"], line["start_y"], line["end_x"], line["end_y"]) == (
        "lines", "Tor", 0.5, -3, 1000, 20)  # fmt: skip
    assert (line["direction"], line["metadata"]) == ("both", {"color": "red"})
    (area,) = sql("SELECT * FROM polygon_zones WHERE camera_id = 'cam-1'")
    assert (area["zone_type"], area["corners"][0], area["metadata"]) == ("dwell", {"x": 1, "y": 1.5}, {})


async def test_a_second_run_is_a_no_op(old: Path, import_into: Any, stored: Any, sql: Any) -> None:
    await import_into(old)
    before = {table: stored(table) for table in TABLES}, sql("SELECT * FROM import_files ORDER BY file_name")
    again = await import_into(old)
    assert {report.outcome for report in again.values()} == {Outcome.KNOWN}
    assert ({table: stored(table) for table in TABLES}, sql("SELECT * FROM import_files ORDER BY file_name")) == before


async def test_the_record_tells_what_was_read(old: Path, import_into: Any, sql: Any) -> None:
    await import_into(old)
    (row,) = sql("SELECT * FROM import_files WHERE file_name = 'telemetry_cam-1.db'")
    content = (old / "telemetry_cam-1.db").read_bytes()
    assert (row["sha256"], row["bytes"]) == (hashlib.sha256(content).digest(), len(content))
    assert row["agent_version"] == "1.2.3"
    events = row["tables"]["telemetry_events"]
    assert (events["read"], events["imported"], events["known"], events["quarantined"]) == (120, 120, 0, 0)
    assert int(events["checksum"], 16)


GROW: Final = """
INSERT INTO telemetry_events
SELECT id + 1000, camera_id, timestamp, 1, 'new', '{}', 1, 1700000000000 FROM telemetry_events;
UPDATE event_type_counts SET total_count = 99, last_updated = last_updated + 1;
UPDATE dwell_times SET last_seen = last_seen + 5, last_updated = last_updated + 1 WHERE track_id = '1';
UPDATE analytics_summary SET summary_value = '2', last_updated = last_updated + 1 WHERE summary_key = 'total';
"""
REPLACED: Final = ("event_type_counts", "dwell_times", "analytics_summary")


async def test_of_a_file_that_has_grown_only_the_new_rows_go_in(old: Path, import_into: Any, differing: Any) -> None:
    await import_into(old)
    with closing(sqlite3.connect(old / "telemetry_cam-1.db")) as db, db:
        db.executescript(GROW)
    again = await import_into(old)
    assert [report.outcome for report in again.values()] == [Outcome.KNOWN, Outcome.IMPORTED, Outcome.KNOWN]
    tables = again["telemetry_cam-1.db"].tables
    events = tables["telemetry_events"]
    assert (events.read, events.imported, events.known) == (240, 120, 120)
    assert [(tables[name].imported, tables[name].quarantined) for name in REPLACED] == [(1, 0)] * 3
    assert differing(old) == []


async def test_a_row_that_says_something_else_now_is_a_conflict(old: Path, import_into: Any, sql: Any) -> None:
    await import_into(old)
    with closing(sqlite3.connect(old / "telemetry_cam-1.db")) as db, db:
        db.execute("UPDATE telemetry_events SET source_id = 'other' WHERE id = 7")
        db.execute("UPDATE class_distribution SET total_count = 1")  # not counted later: which is right is not known
    report = (await import_into(old))["telemetry_cam-1.db"]
    assert (report.codes, report.held, report.clean) == ({"CONFLICT": 2}, 2, False)
    rows = sql("SELECT table_name, row_number, code, content FROM import_quarantine ORDER BY table_name DESC")
    assert [(row["table_name"], row["row_number"], row["code"]) for row in rows] == [
        ("telemetry_events", 7, "CONFLICT"),
        ("class_distribution", 1, "CONFLICT"),
    ]
    assert ["source_id", "text", "other"] in json.loads(rows[0]["content"])
    seventh = sql("SELECT source_id FROM telemetry_events WHERE camera_id = 'cam-1' AND event_id = 7")
    assert seventh == [{"source_id": "z\t1\\"}]


async def test_an_older_count_does_not_replace_a_later_one(old: Path, import_into: Any, sql: Any) -> None:
    await import_into(old)
    later = "events = 1000, counted_at = counted_at + interval '1 day'"
    sql(f"UPDATE telemetry_aggregates SET {later} WHERE kind = 'type'")  # noqa: S608 - ours
    sql("DELETE FROM import_files")
    reports = await import_into(old)
    assert all_codes(reports) == {"CONFLICT": 2}
    assert sql("SELECT DISTINCT events FROM telemetry_aggregates WHERE kind = 'type'") == [{"events": 1000}]


async def test_a_bucket_that_the_old_key_let_occur_twice(old: Path, import_into: Any, sql: Any) -> None:
    with closing(sqlite3.connect(old / "telemetry_cam-1.db")) as db, db:
        twice = "INSERT INTO time_series_buckets SELECT * FROM time_series_buckets WHERE class_name IS NULL"
        db.execute(f"{twice} AND event_count = 3")
        db.execute(f"{twice} AND event_count = 4")
        db.execute(
            "UPDATE time_series_buckets SET event_count = 5, last_updated = last_updated + 1"
            " WHERE rowid = (SELECT max(rowid) FROM time_series_buckets)"
        )
    report = (await import_into(old))["telemetry_cam-1.db"]
    table = report.tables["time_series_buckets"]
    assert (table.read, table.imported, table.known, table.quarantined) == (29, 27, 1, 1)
    found = sql(
        "SELECT events FROM telemetry_aggregates"
        " WHERE camera_id = 'cam-1' AND kind = 'series' AND class_name IS NULL ORDER BY bucket_start"
    )
    assert [row["events"] for row in found] == [0, 1, 2, 3, 5, 5, 6, 7, 8]


REGISTERED: Final = (
    "INSERT INTO cameras (tenant_id, camera_id, device_id, registered_at, name) VALUES ('acme', 'cam-1', 'box', %s, %s)"
)


async def test_a_camera_that_is_only_registered_is_completed(old: Path, import_into: Any, sql: Any) -> None:
    sql(REGISTERED, "2020-01-01T00:00:00Z", "")
    report = (await import_into(old))["config.db"]
    assert (report.clean, report.tables["camera_config"].imported) == (True, 2)
    (row,) = sql("SELECT name, extract(year FROM registered_at)::int AS year FROM cameras WHERE camera_id = 'cam-1'")
    assert row == {"name": "Gate “cam-1”", "year": 2020}
    assert sql("SELECT count(*) AS parts FROM camera_components WHERE camera_id = 'cam-1'") == [{"parts": 5}]


async def test_a_camera_that_says_something_else_is_left_alone(old: Path, import_into: Any, sql: Any) -> None:
    sql(REGISTERED, "2026-01-01T00:00:00Z", "mine")
    report = (await import_into(old))["config.db"]
    assert (report.codes, report.tables["camera_config"].imported) == ({"CONFLICT": 1}, 1)
    assert sql("SELECT name, config FROM cameras WHERE camera_id = 'cam-1'") == [{"name": "mine", "config": {}}]


async def test_what_is_said_of_another_devices_camera_is_set_aside(old: Path, import_into: Any, stored: Any) -> None:
    await import_into(old)
    reports = await import_into(old, device="another box")
    assert set(all_codes(reports)) == {"CAMERA_OF_ANOTHER_DEVICE"}
    read, imported, _, quarantined = counts(reports)
    assert (imported, read - imported) == (5, quarantined)  # the settings, which are each device's own
    assert len(stored("telemetry_events")) == 240


async def test_files_of_a_running_application_are_read_through_its_journal(
    old: Path, import_into: Any, stored: Any, source: Any
) -> None:
    path = old / "telemetry_cam-2.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        with db:
            db.execute("UPDATE telemetry_events SET source_id = 'from the WAL'")
        before = digests(old)
        assert f"{path.name}-wal" in before
        reports = await import_into(old)
        assert digests(old) == before
    assert all(report.clean for report in reports.values())
    assert list(reports) == ["config.db", "telemetry_cam-1.db", "telemetry_cam-2.db"]
    assert stored("telemetry_events") == source(old, "telemetry_events")


async def test_a_hot_journal_is_rolled_back_in_a_copy(
    old: Path, import_into: Any, stored: Any, source: Any, tmp_path: Path
) -> None:
    expected = source(old, "telemetry_events")
    path, aside = old / "telemetry_cam-1.db", tmp_path / "aside"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")  # spills changed pages into the file before the commit
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE telemetry_events SET source_id = 'never committed'")
        shutil.copytree(old, aside)
        db.execute("ROLLBACK")
    assert (aside / f"{path.name}-journal").stat().st_size
    before = digests(aside)
    reports = await import_into(aside)
    assert all(report.clean for report in reports.values())
    assert digests(aside) == before
    assert stored("telemetry_events") == expected


async def test_strangers_and_links_are_named_and_left_alone(old: Path, import_into: Any, tmp_path: Path) -> None:
    shutil.move(old / "telemetry_cam-1.db", tmp_path / "elsewhere.db")
    (old / "telemetry_cam-1.db").symlink_to(tmp_path / "elsewhere.db")
    (old / "notes.txt").write_text("x")
    (old / "telemetry_folder.db").mkdir()
    reports = await import_into(old)
    assert [(name, report.outcome) for name, report in reports.items()] == [
        ("config.db", Outcome.IMPORTED),
        ("telemetry_cam-2.db", Outcome.IMPORTED),
        ("notes.txt", Outcome.UNKNOWN),
        ("telemetry_cam-1.db", Outcome.UNKNOWN),
        ("telemetry_folder.db", Outcome.UNKNOWN),
    ]


async def test_on_every_version(old: Path, every_empty_dsn: str, import_into: Any) -> None:
    await Migrator(dsn=every_empty_dsn, directory=resources.directory("migrations"), agent_version="0").up()
    reports = await import_into(old, dsn=every_empty_dsn)
    assert all(report.clean for report in reports.values())


class Restless(LegacyFolder):
    """A folder whose files the old application still writes to."""

    @override
    @contextmanager
    def open(self, file: OldFile) -> Iterator[LegacyDatabase]:
        with super().open(file) as database:
            with closing(sqlite3.connect(self._folder / file.name)) as db, db:
                db.execute("CREATE TABLE IF NOT EXISTS written_meanwhile (a)")
            yield database


async def test_a_file_that_changes_while_it_is_read_fails_and_can_be_tried_again(
    old: Path, import_into: Any, sql: Any
) -> None:
    reports = await import_into(Restless(old))
    assert {report.outcome for report in reports.values()} == {Outcome.FAILED}
    assert "it changed while it was read" in reports["config.db"].detail
    assert sql("SELECT (SELECT count(*) FROM cameras) + (SELECT count(*) FROM telemetry_events) AS rows") == [
        {"rows": 0}
    ]
    again = await import_into(old)
    assert [report.codes for report in again.values()] == [{"UNKNOWN_TABLE": 1}] * 3
    assert again["telemetry_cam-1.db"].tables["telemetry_events"].imported == 120


class Leaving(LegacyFolder):
    """A folder from which a file goes once it was listed."""

    @override
    def files(self) -> Sequence[OldFile]:
        found = super().files()
        (self._folder / "telemetry_cam-1.db").unlink()
        return found


async def test_a_file_that_cannot_be_read_fails_and_the_rest_is_imported(old: Path, import_into: Any) -> None:
    reports = await import_into(Leaving(old))
    assert [report.outcome for report in reports.values()] == [Outcome.IMPORTED, Outcome.FAILED, Outcome.IMPORTED]
    assert "No such file" in reports["telemetry_cam-1.db"].detail


async def test_the_last_row_there_can_be(old: Path, import_into: Any, differing: Any) -> None:
    with closing(sqlite3.connect(old / "telemetry_cam-1.db")) as db, db:
        db.execute("UPDATE dwell_times SET rowid = 9223372036854775807 WHERE track_id = '1'")
        db.execute("UPDATE dwell_times SET rowid = -9223372036854775808 WHERE track_id = '2'")
    assert (await import_into(old))["telemetry_cam-1.db"].clean
    assert differing(old) == []
