from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest

from tapi_agent.domain.evidence import camera_limit, is_stale, judge, newer, normalized
from tapi_agent.domain.license import Durations, Flag, LicenseMode, LicenseStatus, Reason
from tapi_agent.ports.billing import LicenseReply

NOW: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY: Final = timedelta(days=1)
YES: Final = LicenseReply(is_valid=True, mode=LicenseMode.BASE, packs=(), valid_until=None, cameras_allowed=None)
FUTURE: Final = NOW + DAY
PAST: Final = NOW - DAY

JUDGMENTS: Final = [
    # what, reply, denied
    ("a plain yes", {}, None),
    ("yes until tomorrow", {"valid_until": FUTURE}, None),
    ("revoked", {"status": LicenseStatus.REVOKED}, Reason.REVOKED),
    ("revoked, whatever the date", {"status": LicenseStatus.REVOKED, "valid_until": PAST}, Reason.REVOKED),
    ("suspended", {"status": LicenseStatus.SUSPENDED}, Reason.SUSPENDED),
    ("unlicensed", {"mode": LicenseMode.UNLICENSED}, Reason.UNLICENSED),
    ("unlicensed, date passed", {"mode": LicenseMode.UNLICENSED, "valid_until": PAST}, Reason.UNLICENSED),
    ("a plain no", {"is_valid": False}, Reason.NOT_VALID),
    ("no though paid", {"is_valid": False, "valid_until": FUTURE}, Reason.NOT_VALID),
    ("no since yesterday: the date decides", {"is_valid": False, "valid_until": PAST}, None),
    ("no since this instant", {"is_valid": False, "valid_until": NOW}, None),
    ("expired without a date", {"is_valid": False, "mode": LicenseMode.EXPIRED}, Reason.LICENSE_EXPIRED),
    ("expired though paid", {"mode": LicenseMode.EXPIRED, "valid_until": FUTURE}, Reason.LICENSE_EXPIRED),
    ("status expired", {"status": LicenseStatus.EXPIRED}, Reason.LICENSE_EXPIRED),
    ("status expired yesterday", {"status": LicenseStatus.EXPIRED, "valid_until": PAST}, None),
    ("past due", {"status": LicenseStatus.PAST_DUE}, None),
    ("in its grace period", {"status": LicenseStatus.GRACE_PERIOD}, None),
    ("no, and Go's zero time", {"is_valid": False, "valid_until": datetime(1, 1, 1, tzinfo=UTC)}, Reason.NOT_VALID),
]


def judged(subject, **fields):
    return judge(replace(YES, **fields), subject=subject, now=NOW, durations=Durations())


@pytest.mark.parametrize(("fields", "denied"), [pytest.param(*case[1:], id=case[0]) for case in JUDGMENTS])
def test_a_denial_is_judged_when_it_is_heard(subject, fields, denied) -> None:
    assert judged(subject, **fields).denied is denied


@pytest.mark.parametrize("until", [PAST, NOW])
def test_a_fresh_yes_beats_a_date_that_has_passed(subject, until) -> None:
    evidence = judged(subject, valid_until=until)
    assert (evidence.valid_until, evidence.flags) == (None, {Flag.DATE_CONFLICT})


@pytest.mark.parametrize(
    "fields", [{"is_valid": False}, {"mode": LicenseMode.EXPIRED}, {"status": LicenseStatus.EXPIRED}]
)
def test_a_date_that_agrees_is_no_conflict(subject, fields) -> None:
    evidence = judged(subject, valid_until=PAST, **fields)
    assert (evidence.valid_until, evidence.flags) == (PAST, frozenset())


def test_everything_said_is_kept(subject) -> None:
    word = {
        "mode": LicenseMode.TRIAL,
        "status": LicenseStatus.PAST_DUE,
        "packs": ("Advanced Analytics",),
        "valid_until": FUTURE,
        "cameras_allowed": 2,
        "sequence": 7,
    }
    evidence = judged(subject, **word)
    assert {name: getattr(evidence, name) for name in word} == word
    assert (evidence.subject, evidence.verified_at, evidence.signed) == (subject, NOW, False)


def test_a_classic_reply_is_active_and_unnumbered(subject) -> None:
    evidence = judged(subject)
    assert (evidence.status, evidence.sequence) == (LicenseStatus.ACTIVE, 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (datetime(1, 1, 1, tzinfo=UTC), None),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), None),
        (datetime(1970, 12, 31, tzinfo=UTC), None),
        (datetime(1971, 1, 1, tzinfo=UTC), datetime(1971, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(9000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=12))), datetime(9000, 1, 1, tzinfo=UTC)),
    ],
)
def test_dates_of_the_wire(given, expected) -> None:
    assert normalized(given) == expected


@pytest.mark.parametrize(
    ("candidate", "known", "expected"),
    [
        pytest.param({"verified_at": NOW}, {"verified_at": PAST}, True, id="classic: later"),
        pytest.param({"verified_at": NOW}, {"verified_at": NOW}, False, id="classic: equal"),
        pytest.param({"verified_at": NOW}, {"verified_at": PAST, "sequence": 9}, True, id="classic: not by number"),
        pytest.param({"verified_at": NOW}, {"verified_at": PAST, "signed": True}, False, id="never over signed"),
        pytest.param({"verified_at": PAST, "signed": True}, {"verified_at": NOW}, True, id="signed over classic"),
        pytest.param(
            {"verified_at": PAST, "signed": True, "sequence": 2},
            {"verified_at": NOW, "signed": True, "sequence": 1},
            True,
            id="signed: by number first",
        ),
        pytest.param(
            {"verified_at": NOW, "signed": True, "sequence": 1},
            {"verified_at": PAST, "signed": True, "sequence": 1},
            True,
            id="signed: then by instant",
        ),
    ],
)
def test_which_of_two_is_newer(evidence, candidate, known, expected) -> None:
    assert newer(replace(evidence, **candidate), replace(evidence, **known)) is expected


@pytest.mark.parametrize(
    ("said", "known", "expected"),
    [(None, 5, False), (4, 5, True), (5, 5, False), (6, 5, False), (0, None, False)],
)
def test_an_older_number_is_no_answer(evidence, said, known, expected) -> None:
    held = None if known is None else replace(evidence, sequence=known)
    assert is_stale(replace(YES, sequence=said), held) is expected


def test_the_tenant_says_how_many_cameras(evidence) -> None:
    tenant, camera = replace(evidence, cameras_allowed=2), replace(evidence, cameras_allowed=9)
    assert camera_limit(tenant, [camera]) == 2
    assert camera_limit(None, [camera]) == 9
    assert camera_limit(None, []) is None


def test_the_newest_word_on_any_camera_says_how_many(evidence) -> None:
    older = replace(evidence, cameras_allowed=2)
    newest = replace(evidence, cameras_allowed=None, verified_at=evidence.verified_at + DAY)
    assert camera_limit(None, [older, newest]) is None


def test_a_refused_camera_says_nothing_about_the_others(evidence) -> None:
    refused = replace(evidence, cameras_allowed=0, denied=Reason.UNLICENSED, verified_at=evidence.verified_at + DAY)
    assert camera_limit(None, [replace(evidence, cameras_allowed=3), refused]) == 3
    assert camera_limit(refused, []) is None


def test_a_refused_tenant_does_not_lift_the_limit_of_its_cameras(evidence) -> None:
    refused = replace(evidence, cameras_allowed=0, denied=Reason.REVOKED, verified_at=evidence.verified_at + DAY)
    assert camera_limit(refused, [replace(evidence, cameras_allowed=3)]) == 3


def test_a_sequence_of_one_camera_says_nothing_about_another(evidence) -> None:
    often = replace(evidence, signed=True, sequence=900, cameras_allowed=2)
    lately = replace(evidence, signed=True, sequence=1, cameras_allowed=5, verified_at=evidence.verified_at + DAY)
    assert camera_limit(None, [often, lately]) == 5
    assert camera_limit(None, [often, replace(lately, signed=False)]) == 2
