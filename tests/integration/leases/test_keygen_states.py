"""The states that Keygen's files lead to, at frozen instants inside and after their validity."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from tests.integration.leases.test_keygen_files import JAVASCRIPT, PYTHON, RELAY, RUST, Published

from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.lease import evidence_of
from tapi_agent.domain.license import Contact, Flag, LicenseState, Reason, Subject

SUBJECT: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
LINKS: Final = {
    "lost": Contact(lost=True, attempted=True),
    "heard": Contact(attempted=True),
    "air-gapped": Contact(air_gapped=True),
    "just booted": Contact(),
}
INSTANT, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
VALID = LicenseState.VALID, Reason.OK
OFFLINE = LicenseState.OFFLINE, Reason.AUTHORITY_UNREACHABLE
AIR_GAPPED = LicenseState.OFFLINE, Reason.AIR_GAPPED
OVERRUN = LicenseState.GRACE, Reason.OFFLINE_OVERRUN
LIMIT = LicenseState.EXPIRED, Reason.OFFLINE_LIMIT
LAPSED = LicenseState.GRACE, Reason.LICENSE_LAPSED
ENDED = LicenseState.EXPIRED, Reason.LICENSE_EXPIRED
FAR_OFF = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("file", "at", "link", "verdict"),
    [
        (RELAY, RELAY.issued, "lost", VALID),
        (RELAY, RELAY.issued + HOUR - INSTANT, "lost", VALID),
        (RELAY, RELAY.issued + HOUR, "lost", OFFLINE),
        (RELAY, RELAY.issued + HOUR, "just booted", OFFLINE),
        (RELAY, RELAY.issued + HOUR, "air-gapped", AIR_GAPPED),
        (RELAY, RELAY.expiry - INSTANT, "lost", OFFLINE),
        (RELAY, RELAY.expiry, "lost", OVERRUN),
        (RELAY, RELAY.expiry, "air-gapped", OVERRUN),
        (RELAY, RELAY.expiry, "just booted", OFFLINE),
        (RELAY, RELAY.expiry + 7 * DAY - INSTANT, "lost", OVERRUN),
        (RELAY, RELAY.expiry + 7 * DAY, "lost", LIMIT),
        (RELAY, RELAY.expiry + 7 * DAY, "air-gapped", LIMIT),
        (RELAY, FAR_OFF, "heard", VALID),
        (PYTHON, PYTHON.issued + 2 * HOUR, "lost", OFFLINE),
        (PYTHON, PYTHON.issued + timedelta(seconds=2_629_746), "lost", OFFLINE),
        (PYTHON, PYTHON.expiry - INSTANT, "lost", OFFLINE),
        (PYTHON, PYTHON.expiry, "lost", OVERRUN),
        (PYTHON, PYTHON.expiry + 7 * DAY, "lost", LIMIT),
        (RUST, RUST.expiry - INSTANT, "lost", OFFLINE),
        (RUST, RUST.expiry, "lost", OVERRUN),
        (RUST, RUST.expiry + 7 * DAY, "lost", LIMIT),
        (RUST, RUST.valid_until - 14 * DAY - INSTANT, "heard", VALID),
        (RUST, RUST.valid_until - INSTANT, "heard", VALID),
        (RUST, RUST.valid_until, "heard", LAPSED),
        (RUST, RUST.valid_until + 14 * DAY - INSTANT, "heard", LAPSED),
        (RUST, RUST.valid_until + 14 * DAY, "heard", ENDED),
        (RUST, RUST.valid_until + 14 * DAY, "lost", ENDED),
        (JAVASCRIPT, JAVASCRIPT.issued, "lost", VALID),
        (JAVASCRIPT, FAR_OFF, "lost", OFFLINE),
        (JAVASCRIPT, FAR_OFF, "air-gapped", AIR_GAPPED),
        (JAVASCRIPT, FAR_OFF, "heard", VALID),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_state_at(file: Published, at: datetime, link: str, verdict: tuple[LicenseState, Reason]) -> None:
    standing = evaluate(evidence_of(file.read(), tenant=SUBJECT), now=at, contact=LINKS[link])
    assert (standing.state, standing.reason) == verdict


@pytest.mark.parametrize(("before", "flags"), [(14 * DAY + INSTANT, set()), (14 * DAY, {Flag.EXPIRING})])
def test_the_last_two_weeks_are_marked(before: timedelta, flags: set[Flag]) -> None:
    evidence = evidence_of(RUST.read(), tenant=SUBJECT)
    assert evaluate(evidence, now=RUST.valid_until - before, contact=LINKS["heard"]).flags == flags


def test_a_shorter_allowance_of_the_box_counts() -> None:
    evidence = evidence_of(JAVASCRIPT.read(), tenant=SUBJECT, max_offline=3 * DAY)
    at = JAVASCRIPT.issued + 3 * DAY
    assert evaluate(evidence, now=at - INSTANT, contact=LINKS["lost"]).state is LicenseState.OFFLINE
    assert evaluate(evidence, now=at, contact=LINKS["lost"]).state is LicenseState.GRACE
