"""What must hold for any evidence at any time (2-licensing, The four states)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.evaluation import deadlines_of, evaluate
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

SUBJECT = Subject(device_id=DeviceId("d"), tenant_id=TenantId("t"), camera_id=CameraId("c"))
LOST = Contact(attempted=True, lost=True)
UNASKED = Contact()
NEAR = datetime(2027, 1, 1, tzinfo=UTC)

anywhen = st.datetimes(timezones=st.just(UTC))
nearby = st.timedeltas(min_value=timedelta(days=-60), max_value=timedelta(days=60)).map(NEAR.__add__)
instants = nearby | anywhen
spans = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=40)) | st.timedeltas(min_value=timedelta(0))
contacts = st.builds(
    Contact,
    lost=st.booleans(),
    attempted=st.booleans(),
    air_gapped=st.booleans(),
    lost_at=st.none() | instants,
)
evidences = st.builds(
    Evidence,
    subject=st.just(SUBJECT),
    mode=st.sampled_from(LicenseMode),
    status=st.sampled_from(LicenseStatus),
    verified_at=instants,
    not_before=st.none() | instants,
    valid_until=st.none() | instants,
    denied=st.none() | st.none() | st.sampled_from(Reason),
    durations=st.builds(Durations, freshness=spans, offline_allowance=spans, offline_grace=spans, license_grace=spans),
)


@given(evidences | st.none(), instants, contacts)
def test_it_is_total_and_repeatable(evidence, now, contact) -> None:
    standing = evaluate(evidence, now=now, contact=contact)
    assert standing.state in LicenseState
    assert evaluate(evidence, now=now, contact=contact) == standing


@given(evidences, instants, instants, contacts)
def test_with_fixed_evidence_it_never_improves(evidence, one, other, contact) -> None:
    begins = deadlines_of(evidence).begins
    earlier, later = sorted((max(one, begins), max(other, begins)))
    before, after = (evaluate(evidence, now=now, contact=contact).state for now in (earlier, later))
    assert after.severity >= before.severity


@given(evidences, instants)
def test_losing_contact_never_improves_it(evidence, now) -> None:
    talking = evaluate(evidence, now=now, contact=Contact(attempted=True))
    lost = evaluate(evidence, now=now, contact=LOST)
    assert lost.state.severity >= talking.state.severity


@given(evidences, instants)
def test_not_having_asked_yet_goes_no_further_than_offline(evidence, now) -> None:
    unasked = evaluate(evidence, now=now, contact=UNASKED).state
    talking = evaluate(evidence, now=now, contact=Contact(attempted=True)).state
    assert unasked in {talking, LicenseState.OFFLINE}
    assert unasked.severity <= max(talking.severity, LicenseState.OFFLINE.severity)


@given(evidences, instants, contacts)
def test_a_denial_is_final_until_newer_evidence(evidence, now, contact) -> None:
    standing = evaluate(replace(evidence, denied=Reason.REVOKED), now=now, contact=contact)
    assert (standing.state, standing.reason, standing.next_transition) == (LicenseState.EXPIRED, Reason.REVOKED, None)


@given(instants, contacts)
def test_nothing_comes_of_nothing(now, contact) -> None:
    assert evaluate(None, now=now, contact=contact).state is LicenseState.EXPIRED


@given(evidences, nearby, contacts, st.floats(min_value=0, max_value=0.999))
def test_the_next_transition_is_what_silence_brings(evidence, now, contact, part) -> None:
    silent = contact if contact.lost_at else replace(contact, lost=True)
    standing = evaluate(evidence, now=now, contact=silent)
    upcoming = standing.next_transition
    if upcoming is None:
        assert evaluate(evidence, now=now + timedelta(days=10**6) * part, contact=silent).state is standing.state
        return
    assert upcoming.at > now
    arrived = evaluate(evidence, now=upcoming.at, contact=silent)
    assert (arrived.state, arrived.reason) == (upcoming.to, upcoming.reason)
    assert evaluate(evidence, now=now + (upcoming.at - now) * part, contact=silent).state is standing.state
