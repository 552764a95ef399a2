from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.evaluation import evaluate, rule_for
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import (
    Contact,
    Durations,
    Evidence,
    LicenseMode,
    LicenseState,
    LicenseStatus,
    Reason,
    Subject,
)
from tapi_agent.domain.timeline import silent, timeline

T: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
VALID, OFFLINE, GRACE, EXPIRED = LicenseState
TALKING: Final = Contact(attempted=True)
LOST: Final = Contact(attempted=True, lost=True)
AIR_GAPPED: Final = Contact(lost=True, air_gapped=True)
UNTRIED: Final = Contact(lost_at=T + 3 * DAY)
SUBJECT: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("gate"))
PLAIN: Final = Evidence(subject=SUBJECT, mode=LicenseMode.BASE, verified_at=T)

CASES: Final = [
    (
        "silence",
        {},
        TALKING,
        [
            (T, VALID, Reason.OK, 9),
            (T + HOUR, OFFLINE, Reason.AUTHORITY_UNREACHABLE, 8),
            (T + DAY, GRACE, Reason.OFFLINE_OVERRUN, 7),
            (T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT, 5),
        ],
    ),
    (
        "a license that ends",
        {"valid_until": T + HOUR / 2, "durations": Durations(offline_allowance=99 * DAY)},
        TALKING,
        [
            (T, VALID, Reason.OK, 9),
            (T + HOUR / 2, GRACE, Reason.LICENSE_LAPSED, 6),
            (T + 14 * DAY + HOUR / 2, EXPIRED, Reason.LICENSE_EXPIRED, 4),
        ],
    ),
    ("a denial stays", {"denied": Reason.SUSPENDED}, LOST, [(T, EXPIRED, Reason.SUSPENDED, 2)]),
    (
        "silence that does not count yet",
        {},
        UNTRIED,
        [
            (T, VALID, Reason.OK, 9),
            (T + HOUR, OFFLINE, Reason.AUTHORITY_UNREACHABLE, 8),
            (T + 3 * DAY, GRACE, Reason.OFFLINE_OVERRUN, 7),
            (T + 8 * DAY, EXPIRED, Reason.OFFLINE_LIMIT, 5),
        ],
    ),
]


@pytest.mark.parametrize(("fields", "contact", "spans"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_states_ahead(fields, contact, spans) -> None:
    found = timeline(replace(PLAIN, **fields), start=T, until=T + 99 * DAY, contact=contact)
    assert [(span.at, span.state, span.reason, span.row) for span in found] == spans


@pytest.mark.parametrize(("until", "count"), [(T + DAY, 3), (T + DAY - timedelta(microseconds=1), 2), (T, 1)])
def test_its_end_is_included(until, count) -> None:
    assert len(timeline(PLAIN, start=T, until=until, contact=LOST)) == count


lengths = st.sampled_from([timedelta(0), HOUR, DAY, 7 * DAY, 14 * DAY])
instants = st.integers(-40 * 24, 40 * 24).map(lambda hours: T + hours * HOUR)
words = st.builds(
    Evidence,
    subject=st.just(SUBJECT),
    mode=st.just(LicenseMode.BASE),
    status=st.sampled_from([LicenseStatus.ACTIVE, LicenseStatus.PAST_DUE]),
    verified_at=st.just(T),
    not_before=st.none() | instants,
    valid_until=st.none() | instants,
    denied=st.sampled_from([None, None, None, Reason.REVOKED]),
    durations=st.builds(
        Durations, freshness=lengths, offline_allowance=lengths, offline_grace=lengths, license_grace=lengths
    ),
)


@given(words, instants, st.sampled_from([LOST, AIR_GAPPED, UNTRIED]), st.integers(0, 80 * 24))
def test_it_agrees_with_evaluate_at_every_instant(evidence, start, contact, hours) -> None:
    at = start + hours * HOUR
    span = [span for span in timeline(evidence, start=start, until=at, contact=contact) if span.at <= at][-1]
    assert span.state is evaluate(evidence, now=at, contact=silent(contact)).state
    assert rule_for(evidence, now=span.at, contact=contact).row == span.row


@given(words, instants, st.sampled_from([TALKING, LOST, AIR_GAPPED, UNTRIED]))
def test_its_second_span_is_the_next_transition(evidence, start, contact) -> None:
    upcoming = evaluate(evidence, now=start, contact=contact).next_transition
    spans = timeline(evidence, start=start, until=start + 999 * DAY, contact=contact)
    assert [(s.at, s.state, s.reason) for s in spans[1:2]] == (
        [(upcoming.at, upcoming.to, upcoming.reason)] if upcoming else []
    )
