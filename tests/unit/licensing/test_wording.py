from __future__ import annotations

import re
import string
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.licensing.test_timeline import PLAIN, T

from tapi_agent.domain.evaluation import RULES
from tapi_agent.domain.license import LicenseStatus, Reason
from tapi_agent.domain.remedies import ABSENCES, MEANINGS, REMEDIES
from tapi_agent.domain.wording import age, fired, length, ordinal, sentence

NOW = T + timedelta(hours=1, minutes=30)
DATED = replace(PLAIN, valid_until=T + timedelta(days=9), not_before=T - timedelta(days=9), denied=Reason.REVOKED)
WITHOUT_EVIDENCE = [Reason.NO_LICENSE, Reason.EVIDENCE_INVALID, Reason.KEY_UNKNOWN, Reason.MACHINE_MISMATCH]


@pytest.mark.parametrize("words", [MEANINGS, REMEDIES], ids=["meaning", "remedy"])
def test_every_reason_has_words(words) -> None:
    assert set(words) == set(Reason)
    assert all(words.values())


def test_every_absence_has_words() -> None:
    assert list(ABSENCES) == WITHOUT_EVIDENCE


@pytest.mark.parametrize("reason", Reason)
def test_every_sentence_begins_with_whom_it_is_about(reason: Reason) -> None:
    told = sentence(reason, who="{gate}", now=NOW, evidence=DATED, place=3, allowed=2)
    assert told.startswith("{gate} ")
    assert not re.search(r" -|- |None", told)


@pytest.mark.parametrize("reason", WITHOUT_EVIDENCE)
def test_without_evidence_nothing_is_said_of_it(reason: Reason) -> None:
    assert [name for _, name, _, _ in string.Formatter().parse(MEANINGS[reason]) if name] == ["who"]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.OK, "gate works without warnings: the license was confirmed 1 h ago"),
        (Reason.LICENSE_LAPSED, "gate works with a warning: the paid time ended on 2027-03-10 12:00:00 UTC"),
        (Reason.NOT_YET_VALID, "gate is stopped: the license begins on 2027-02-20 12:00:00 UTC"),
        (Reason.CAMERA_LIMIT, "gate is stopped: it is the 3rd camera by seniority, and the license allows 2"),
    ],
)
def test_sentences_say_since_when_and_how_many(reason: Reason, said: str) -> None:
    assert sentence(reason, who="gate", now=NOW, evidence=DATED, place=3, allowed=2) == said


def test_the_tenant_has_no_name() -> None:
    told = sentence(Reason.CAMERA_LIMIT, who="", now=NOW, place=1, allowed=0)
    assert told == "the tenant is stopped: it is the 1st camera by seniority, and the license allows 0"


def test_the_rule_that_fired_has_its_instants_in_it() -> None:
    evidence = replace(DATED, status=LicenseStatus.PAST_DUE)
    t, verified = "t 2027-03-01 13:30:00 UTC", "verified_at 2027-03-01 12:00:00 UTC"
    assert [fired(rule, evidence, NOW) for rule in RULES] == [
        "denied: REVOKED",
        f"{t} < not_before 2027-02-20 12:00:00 UTC less 300 s",
        f"{t} ≥ valid_until 2027-03-10 12:00:00 UTC + license grace 14 d",
        f"lost and {t} ≥ {verified} + offline allowance 1 d + offline grace 7 d",
        f"{t} ≥ valid_until 2027-03-10 12:00:00 UTC",
        "status past_due",
        f"lost and {t} ≥ {verified} + offline allowance 1 d",
        f"{t} ≥ {verified} + freshness 1 h, air-gapped",
        f"{t} ≥ {verified} + freshness 1 h and (lost or not yet attempted)",
        f"otherwise: no other row holds at {t}",
    ]


@pytest.mark.parametrize(
    ("span", "words", "rough"),
    [
        (timedelta(0), "0 s", "0 s"),
        (timedelta(seconds=-5), "0 s", "0 s"),
        (timedelta(minutes=90), "1 h 30 min", "1 h"),
        (timedelta(days=30, seconds=1, microseconds=5), "30 d 1 s", "30 d"),
        (timedelta.max, "without end", "999999999 d"),
    ],
)
def test_durations(span: timedelta, words: str, rough: str) -> None:
    assert (length(max(span, timedelta(0))), age(span)) == (words, rough)


def test_ordinals() -> None:
    numbers = [1, 2, 3, 4, 11, 12, 13, 21, 102, 111]
    expected = ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]
    assert [ordinal(number) for number in numbers] == expected
