"""What must hold for any evidence at any time (2-licensing, The four states)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.evaluation import deadlines_of, evaluate
from tapi_agent.domain.evidence import newer
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
ANSWERED = Contact(attempted=True)
LOST = Contact(attempted=True, lost=True)
UNASKED = Contact()
NEAR = datetime(2027, 1, 1, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
INSTANT = timedelta.resolution
DENIALS = [
    Reason.REVOKED,
    Reason.SUSPENDED,
    Reason.UNLICENSED,
    Reason.NOT_VALID,
    Reason.CAMERA_LIMIT,
    Reason.LICENSE_EXPIRED,
]
MISSING = [Reason.NO_LICENSE, Reason.EVIDENCE_INVALID, Reason.KEY_UNKNOWN, Reason.MACHINE_MISMATCH]

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
    denied=st.none() | st.none() | st.sampled_from(DENIALS),
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


@given(evidences, instants, instants, instants)
def test_silence_never_improves_it_either(evidence, one, other, lost_at) -> None:
    """Answered, then not asked again, then lost: however the link goes down, the state goes no other way."""
    begins = deadlines_of(evidence).begins
    earlier, later = sorted((max(one, begins), max(other, begins)))
    path = [ANSWERED, UNASKED, Contact(lost_at=max(lost_at, earlier)), LOST]
    before = [evaluate(evidence, now=earlier, contact=contact).state.severity for contact in path]
    after = [evaluate(evidence, now=later, contact=contact).state.severity for contact in path]
    assert before == sorted(before)
    assert after == sorted(after)
    assert all(was <= will for step, was in enumerate(before) for will in after[step:])


@given(evidences, instants)
def test_not_having_asked_yet_goes_no_further_than_offline(evidence, now) -> None:
    unasked = evaluate(evidence, now=now, contact=UNASKED).state
    talking = evaluate(evidence, now=now, contact=ANSWERED).state
    assert unasked in {talking, LicenseState.OFFLINE}
    assert unasked.severity <= max(talking.severity, LicenseState.OFFLINE.severity)


@given(evidences, instants, contacts, st.sampled_from(DENIALS))
def test_a_denial_is_final_until_newer_evidence(evidence, now, contact, denied) -> None:
    standing = evaluate(replace(evidence, denied=denied), now=now, contact=contact)
    assert (standing.state, standing.reason, standing.next_transition) == (LicenseState.EXPIRED, denied, None)


@given(st.lists(st.builds(replace, evidences, signed=st.booleans(), sequence=st.integers(0, 3)), min_size=1), instants)
def test_words_in_any_order_leave_the_newest_in_force(words, now) -> None:
    """A revocation stands however late older words arrive, and falls with the first newer one."""
    held = words[0]
    for word in words[1:]:
        held = word if newer(word, held) else held
    assert not any(newer(word, held) for word in words)
    assert held.signed == any(word.signed for word in words)
    if held.denied:
        assert evaluate(held, now=now, contact=ANSWERED).state is LicenseState.EXPIRED


@given(instants, contacts, st.sampled_from(MISSING))
def test_nothing_comes_of_nothing(now, contact, missing) -> None:
    standing = evaluate(None, now=now, contact=contact, missing=missing)
    assert (standing.state, standing.reason, standing.next_transition) == (LicenseState.EXPIRED, missing, None)


@given(evidences, instants, contacts)
def test_only_a_no_a_deadline_or_silence_takes_anything_away(evidence, now, contact) -> None:
    """Why it is expired is always one of these, and what it says is so."""
    standing, ends = evaluate(evidence, now=now, contact=contact), deadlines_of(evidence)
    if standing.state is not LicenseState.EXPIRED:
        return
    so = {
        Reason.NOT_YET_VALID: now < ends.begins,
        Reason.LICENSE_EXPIRED: now >= ends.ends,
        Reason.OFFLINE_LIMIT: contact.lost_by(now) and now >= ends.limit,
    }
    assert evidence.denied == standing.reason or (evidence.denied is None and so[standing.reason])


@given(evidences, nearby, contacts, st.data())
def test_the_next_transition_is_what_silence_brings(evidence, now, contact, data) -> None:
    """At that instant it is so, an instant before it is not, nor at any before that: deadlines and any other."""
    silent = contact if contact.lost_at else replace(contact, lost=True)
    standing = evaluate(evidence, now=now, contact=silent)
    upcoming = standing.next_transition
    until = upcoming.at if upcoming else LAST
    between = [at for at in (*deadlines_of(evidence), silent.lost_at) if at is not None and now < at < until]
    between += [until - INSTANT, data.draw(st.datetimes(naive(now), naive(until - INSTANT), timezones=st.just(UTC)))]
    assert {evaluate(evidence, now=at, contact=silent).state for at in between} <= {standing.state}
    if upcoming:
        arrived = evaluate(evidence, now=upcoming.at, contact=silent)
        assert upcoming.at > now
        assert (arrived.state, arrived.reason) == (upcoming.to, upcoming.reason)
        assert upcoming.to is not standing.state


@given(evidences, nearby)
def test_while_the_authority_answers_silence_to_come_is_reckoned_with(evidence, now) -> None:
    """Losing the link changes nothing as long as the word is fresh and the allowance runs."""
    ends = deadlines_of(evidence)
    if now < min(ends.stale, ends.overrun):
        talking, silent = (evaluate(evidence, now=now, contact=contact) for contact in (ANSWERED, LOST))
        assert talking == silent


def naive(at: datetime) -> datetime:
    """As the bounds of ``st.datetimes`` are."""
    return at.replace(tzinfo=None)
