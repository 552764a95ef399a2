"""Rows judged, added up, set aside and reported."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.importing.checks import Undecodable
from tapi_agent.domain.importing.flaws import Flaw, QuarantineCode
from tapi_agent.domain.importing.quarantine import SetAside, content
from tapi_agent.domain.importing.reports import FileReport, Outcome, TableReport, totals
from tapi_agent.domain.importing.tables import CONFIG, TELEMETRY
from tapi_agent.domain.importing.tally import Measure, canonical, tally
from tapi_agent.services.importing.judging import judge

TABLES: Final = {table.name: table for table in (*CONFIG, *TELEMETRY)}
NOW: Final = 1_700_000_000_000
DWELL: Final = (1, "cam", "7", "car", NOW, NOW + 5, 1, 5, None)
NOBODY: Final[frozenset[str]] = frozenset()


def event(number: int, **other: object) -> tuple[object, ...]:
    values = {"id": number, "camera_id": "cam", "timestamp": NOW, "event_type": 0, "source_id": "", "properties": "{}"}
    return (number, *(values | {"frame_id": None, "created_at": None} | other).values())


def test_sound_rows_are_taken_as_they_are() -> None:
    rows = [event(1), event(2)]
    assert judge(TABLES["telemetry_events"], rows, NOBODY) == (rows, ())
    assert judge(TABLES["telemetry_events"], [], NOBODY) == ([], ())


def test_a_flaw_names_its_column_and_spares_the_others() -> None:
    good, bad = judge(TABLES["telemetry_events"], [event(1), event(2, timestamp=0), event(3)], NOBODY)
    assert good == [event(1), event(3)]
    assert [(one.row_number, one.flaw.code) for one in bad] == [(2, "TIME_OUT_OF_RANGE")]
    assert bad[0].flaw.detail == "timestamp: 0 is no time of 2000 to 2099 in milliseconds"


def test_a_camera_of_another_device_is_not_ours() -> None:
    good, bad = judge(TABLES["telemetry_events"], [event(1), event(2, camera_id="theirs")], frozenset({"theirs"}))
    assert (good, [one.flaw.code for one in bad]) == ([event(1)], ["CAMERA_OF_ANOTHER_DEVICE"])


def test_a_dwell_time_is_what_it_was_computed_from() -> None:
    table = TABLES["dwell_times"]
    assert judge(table, [DWELL], NOBODY) == ([DWELL], [])
    _, (bad,) = judge(table, [(*DWELL[:7], 6, None)], NOBODY)
    assert bad.flaw.code == "INCONSISTENT"


def test_what_is_derived_is_stored_and_not_set_aside() -> None:
    rows = [(4, "cam", '{"name": "x"}', NOW // 1000), (5, "cam-2", '{"name": 1}', NOW // 1000)]
    (good,), (bad,) = judge(TABLES["camera_config"], rows, NOBODY)
    assert good == (*rows[0], "x", True, "[]", "[]", "[]")
    assert json.loads(bad.content) == [
        ["camera_id", "text", "cam-2"],
        ["config", "text", '{"name": 1}'],
        ["updated_at", "integer", NOW // 1000],
    ]


def test_content_keeps_every_type() -> None:
    pairs = [("n", None), ("i", 2**63 - 1), ("r", 0.1), ("inf", float("inf")), ("t", "a\0ü"), ("b", b"\x00\xff")]
    assert json.loads(content([*pairs, ("u", Undecodable(b"a\xff"))])) == [
        ["n", "null", None],
        ["i", "integer", 2**63 - 1],
        ["r", "real", 0.1],
        ["inf", "real", "inf"],
        ["t", "text", "a\0ü"],
        ["b", "blob", "AP8="],
        ["u", "text", "Yf8="],
    ]
    with pytest.raises(TypeError, match="list"):
        content([("x", [])])


def test_a_row_as_postgresql_writes_it() -> None:
    columns = [
        (1, 2),
        ("", "a b"),
        (None, "x"),
        ('say "\\"', "(,)"),
        (b"\x01\xff", None),
        (True, False),
        ("ü", "\u00a0"),
    ]
    assert list(canonical(columns)) == [
        '(1,"",,"say ""\\\\""","\\\\x01ff",t,ü)',
        '(2,"a b",x,"(,)",,f,\u00a0)',
    ]


def test_a_tally() -> None:
    table = TABLES["config"]
    rows = [(1, "a", "1", 5), (2, "b", "[]", 3)]
    one, other = (int(hashlib.sha256(text).hexdigest()[:16], 16) for text in (b"(1,a,1,5)", b"(2,b,[],3)"))
    found = tally(table, rows)
    assert (found.rows, found.checksum, found.measures) == (2, (one + other) % 2**64, (Measure(3, 5, 8),))
    assert tally(table, []).measures == (Measure(None, None, 0),)


@given(st.lists(st.integers(-5, 5) | st.none(), max_size=8), st.integers(0, 8), st.randoms())
def test_tallies_add_up_in_any_order(numbers: list[int | None], cut: int, chance: Any) -> None:
    table = TABLES["analytics_summary"]
    rows: list[tuple[object, ...]] = [(i, "cam", "k", "1", number) for i, number in enumerate(numbers)]
    whole = tally(table, rows)
    assert tally(table, rows[:cut]) + tally(table, rows[cut:]) == whole
    chance.shuffle(rows)
    assert tally(table, rows) == whole


def test_any_change_shows_in_the_checksum() -> None:
    table = TABLES["telemetry_events"]
    rows = [event(1), event(2, source_id="x")]
    same_measures = [event(1, source_id="x"), event(2)]
    assert tally(table, rows).measures == tally(table, same_measures).measures
    assert tally(table, rows).checksum != tally(table, same_measures).checksum


def set_aside(number: int | None, code: QuarantineCode = QuarantineCode.CONFLICT) -> SetAside:
    return SetAside(table="config", row_number=number, flaw=Flaw(code, "why"), content=b"[]")


def test_a_report_counts_rows_and_reasons_and_keeps_examples() -> None:
    report = FileReport(name="config.db", size=1, outcome=Outcome.IMPORTED, tables={"config": TableReport(read=6)})
    report.set_aside([set_aside(number) for number in range(5)])
    report.set_aside([set_aside(None, QuarantineCode.MISSING_TABLE)])
    report.tables["config"].add(imported=0, stored=1, checksum=2**64 + 10)
    assert report.codes == Counter({"CONFLICT": 5, "MISSING_TABLE": 1})
    assert [one.row_number for one in report.examples] == [0, 1, 2]
    assert report.figures() == {
        "config": {"read": 6, "imported": 0, "known": 1, "quarantined": 5, "checksum": "000000000000000a"}
    }


@pytest.mark.parametrize(
    ("outcome", "held", "clean"),
    [
        (Outcome.IMPORTED, 0, True),
        (Outcome.KNOWN, 0, True),
        (Outcome.UNKNOWN, 0, True),
        (Outcome.KNOWN, 1, False),
        (Outcome.FAILED, 0, False),
        (Outcome.QUARANTINED, 1, False),
    ],
)
def test_clean_is_when_nothing_is_left_to_look_after(outcome: Outcome, held: int, clean: bool) -> None:  # noqa: FBT001 - a table
    assert FileReport(name="x", size=0, outcome=outcome, held=held).clean is clean


def test_totals_over_files() -> None:
    table = TableReport(read=3, imported=1, known=1, quarantined=1, checksum=2**64 - 1)
    files = [FileReport(name=name, size=1, outcome=Outcome.IMPORTED, tables={"config": table}) for name in "ab"]
    assert totals(files) == {"config": TableReport(read=6, imported=2, known=2, quarantined=2, checksum=2**64 - 2)}
