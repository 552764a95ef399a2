from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from tapi_agent.domain.evaluation import RULES, beyond_limit, evaluate
from tapi_agent.domain.ids import CameraId
from tapi_agent.domain.license import (
    Camera,
    Contact,
    Flag,
    LicenseMode,
    LicenseState,
    LicenseStatus,
    Reason,
    Transition,
)

T: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
"""When the authority spoke."""
TICK: Final = timedelta(microseconds=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

VALID, OFFLINE, GRACE, EXPIRED = LicenseState
TALKING: Final = Contact(attempted=True)
LOST: Final = Contact(attempted=True, lost=True)
SILENT: Final = Contact(lost_at=T + 40 * DAY)
"""Not yet attempted, and not for long enough to count as lost."""
AIR_GAPPED: Final = Contact(lost=True, air_gapped=True)

UNTIL: Final = {"valid_until": T + 30 * DAY}
STARTS: Final = {"not_before": T + DAY}

ROWS: Final = [
    # row, what, evidence, contact, now, state, reason
    (2, "denied beats everything", {"denied": Reason.REVOKED, **STARTS}, TALKING, T, EXPIRED, Reason.REVOKED),
    (2, "suspended", {"denied": Reason.SUSPENDED}, TALKING, T, EXPIRED, Reason.SUSPENDED),
    (2, "unlicensed", {"denied": Reason.UNLICENSED}, TALKING, T, EXPIRED, Reason.UNLICENSED),
    (2, "not valid", {"denied": Reason.NOT_VALID}, TALKING, T, EXPIRED, Reason.NOT_VALID),
    (2, "too many cameras", {"denied": Reason.CAMERA_LIMIT}, TALKING, T, EXPIRED, Reason.CAMERA_LIMIT),
    (2, "ended before it was heard", {"denied": Reason.LICENSE_EXPIRED}, TALKING, T, EXPIRED, Reason.LICENSE_EXPIRED),
    (3, "before it begins", STARTS, TALKING, T + DAY - 300 * TICK * 10**6 - TICK, EXPIRED, Reason.NOT_YET_VALID),
    (9, "as it begins", STARTS, TALKING, T + DAY - 300 * TICK * 10**6, VALID, Reason.OK),
    (4, "license grace over", UNTIL, TALKING, T + 44 * DAY, EXPIRED, Reason.LICENSE_EXPIRED),
    (6, "license grace not over", UNTIL, TALKING, T + 44 * DAY - TICK, GRACE, Reason.LICENSE_LAPSED),
    (5, "offline grace over", {}, LOST, T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT),
    (7, "offline grace not over", {}, LOST, T + 8 * DAY - TICK, GRACE, Reason.OFFLINE_OVERRUN),
    (5, "air-gapped for too long", {}, AIR_GAPPED, T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT),
    (9, "long ago, but in contact", {}, TALKING, T + 99 * DAY, VALID, Reason.OK),
    (6, "lapsed", UNTIL, TALKING, T + 30 * DAY, GRACE, Reason.LICENSE_LAPSED),
    (9, "not lapsed", UNTIL, TALKING, T + 30 * DAY - TICK, VALID, Reason.OK),
    (6, "past due", {"status": LicenseStatus.PAST_DUE}, TALKING, T, GRACE, Reason.PAST_DUE),
    (6, "grace period", {"status": LicenseStatus.GRACE_PERIOD}, TALKING, T, GRACE, Reason.PAST_DUE),
    (6, "lapsed and overrun", UNTIL, LOST, T + 30 * DAY, EXPIRED, Reason.OFFLINE_LIMIT),
    (7, "allowance used up", {}, LOST, T + DAY, GRACE, Reason.OFFLINE_OVERRUN),
    (8, "allowance not used up", {}, LOST, T + DAY - TICK, OFFLINE, Reason.AUTHORITY_UNREACHABLE),
    (8, "stale and lost", {}, LOST, T + HOUR, OFFLINE, Reason.AUTHORITY_UNREACHABLE),
    (8, "stale, not asked yet", {}, SILENT, T + HOUR, OFFLINE, Reason.AUTHORITY_UNREACHABLE),
    (8, "stale for long, not asked yet", {}, SILENT, T + 39 * DAY, OFFLINE, Reason.AUTHORITY_UNREACHABLE),
    (5, "not asked for so long that it counts as lost", {}, SILENT, T + 40 * DAY, EXPIRED, Reason.OFFLINE_LIMIT),
    (8, "stale and air-gapped", {}, AIR_GAPPED, T + HOUR, OFFLINE, Reason.AIR_GAPPED),
    (9, "fresh though lost", {}, LOST, T + HOUR - TICK, VALID, Reason.OK),
    (9, "fresh", {}, TALKING, T, VALID, Reason.OK),
]


@pytest.mark.parametrize(
    ("fields", "contact", "now", "state", "reason"),
    [pytest.param(*row[2:], id=f"{row[0]}: {row[1]}") for row in ROWS],
)
def test_the_table(evidence, fields, contact, now, state, reason) -> None:
    standing = evaluate(replace(evidence, **fields), now=now, contact=contact)
    assert (standing.state, standing.reason) == (state, reason)


def test_every_row_has_an_example() -> None:
    assert {rule.row for rule in RULES} == {row[0] for row in ROWS} == set(range(2, 10))


@pytest.mark.parametrize(
    "missing", [Reason.NO_LICENSE, Reason.EVIDENCE_INVALID, Reason.KEY_UNKNOWN, Reason.MACHINE_MISMATCH]
)
def test_row_1_no_evidence(missing) -> None:
    standing = evaluate(None, now=T, contact=TALKING, missing=missing)
    assert (standing.state, standing.reason, standing.next_transition) == (EXPIRED, missing, None)


@pytest.mark.parametrize("mode", [LicenseMode.TRIAL, LicenseMode.BASE, LicenseMode.ENTERPRISE])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_what_was_bought_makes_no_difference(evidence, mode, row) -> None:
    standing = evaluate(replace(evidence, mode=mode, **row[2]), now=row[4], contact=row[3])
    assert (standing.state, standing.reason) == row[5:]


def test_no_offline_mode_keeps_the_grace(evidence) -> None:
    strict = replace(evidence, durations=replace(evidence.durations, offline_allowance=timedelta(0)))
    assert evaluate(strict, now=T, contact=LOST).state is GRACE
    assert evaluate(strict, now=T + 7 * DAY - TICK, contact=LOST).state is GRACE
    assert evaluate(strict, now=T + 7 * DAY, contact=LOST).state is EXPIRED


NEXT: Final = [
    ("silence begins with offline", {}, TALKING, T, (T + HOUR, OFFLINE, Reason.AUTHORITY_UNREACHABLE)),
    ("then grace", {}, LOST, T + HOUR, (T + DAY, GRACE, Reason.OFFLINE_OVERRUN)),
    ("then the end", {}, LOST, T + DAY, (T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT)),
    ("then nothing", {}, LOST, T + 8 * DAY, None),
    ("the date comes first", {"valid_until": T + HOUR / 2}, TALKING, T, (T + HOUR / 2, GRACE, Reason.LICENSE_LAPSED)),
    ("overdue ends offline", {"status": LicenseStatus.PAST_DUE}, LOST, T, (T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT)),
    ("a denial stays", {"denied": Reason.REVOKED}, TALKING, T, None),
    ("it will begin", STARTS, LOST, T, (T + DAY - 300 * TICK * 10**6, OFFLINE, Reason.AUTHORITY_UNREACHABLE)),
    ("the gap has its own name", {}, AIR_GAPPED, T, (T + HOUR, OFFLINE, Reason.AIR_GAPPED)),
    (
        "not asked yet, until that counts as lost",
        {},
        Contact(lost_at=T + 2 * DAY),
        T + HOUR,
        (T + 2 * DAY, GRACE, Reason.OFFLINE_OVERRUN),
    ),
]


@pytest.mark.parametrize(
    ("fields", "contact", "now", "expected"), [pytest.param(*case[1:], id=case[0]) for case in NEXT]
)
def test_next_transition_assumes_silence(evidence, fields, contact, now, expected) -> None:
    standing = evaluate(replace(evidence, **fields), now=now, contact=contact)
    upcoming = expected and Transition(at=expected[0], to=expected[1], reason=expected[2])
    assert standing.next_transition == upcoming


@pytest.mark.parametrize(
    ("days", "contact", "expected"),
    [(14, TALKING, True), (15, TALKING, False), (14, Contact(attempted=True, lost=True), True)],
)
def test_expiring_is_flagged_for_a_fortnight(evidence, days, contact, expected) -> None:
    soon = replace(evidence, valid_until=T + days * DAY)
    assert (Flag.EXPIRING in evaluate(soon, now=T, contact=contact).flags) is expected


def test_expiring_is_a_flag_of_valid_only(evidence) -> None:
    lapsed = replace(evidence, valid_until=T)
    assert evaluate(lapsed, now=T, contact=TALKING).flags == frozenset()


def test_flags_of_the_word_are_kept(evidence) -> None:
    odd = replace(evidence, flags=frozenset({Flag.DATE_CONFLICT}), valid_until=T + DAY)
    assert evaluate(odd, now=T, contact=TALKING).flags == {Flag.DATE_CONFLICT, Flag.EXPIRING}


def cameras(*registered: int) -> list[Camera]:
    names = "abcdef"
    return [
        Camera(camera_id=CameraId(names[place]), registered_at=T + days * DAY, since=T)
        for place, days in enumerate(registered)
    ]


@pytest.mark.parametrize(
    ("registered", "allowed", "expected"),
    [
        ((0, 1, 2), None, ""),
        ((0, 1, 2), 3, ""),
        ((0, 1, 2), 2, "c"),
        ((2, 1, 0), 2, "a"),
        ((0, 0, 0), 1, "bc"),
        ((0, 1), 0, "ab"),
        ((0, 1), -1, "ab"),
        ((), 2, ""),
    ],
)
def test_the_first_cameras_keep_working(registered, allowed, expected) -> None:
    assert beyond_limit(cameras(*registered), allowed) == set(expected)


def test_deleting_a_camera_frees_a_place() -> None:
    first, second, third = cameras(0, 1, 2)
    assert beyond_limit([first, second, third], 2) == {"c"}
    assert beyond_limit([second, third], 2) == frozenset()
