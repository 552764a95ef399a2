from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey, DeviceSealer
from tapi_agent.domain.errors import ConfigurationError, IntegrityError
from tapi_agent.domain.license import Durations, Flag, LicenseMode, LicenseStatus, Reason

KEY = DeviceKey(bytes(range(KEY_BYTES)))
SEALER = DeviceSealer(KEY)
T = datetime(2027, 3, 1, 12, 0, 0, 1, tzinfo=UTC)


@pytest.fixture
def full(evidence):
    """Evidence with every field unlike its default."""
    return replace(
        evidence,
        subject=replace(evidence.subject, camera_id="Tor \u2028 \u00e9"),
        mode=LicenseMode.TRIAL,
        status=LicenseStatus.PAST_DUE,
        not_before=T,
        valid_until=T + timedelta(days=9),
        packs=("b", "a"),
        cameras_allowed=3,
        sequence=2**40,
        signed=True,
        denied=Reason.NOT_VALID,
        durations=Durations(freshness=timedelta(microseconds=1), license_grace=timedelta(days=10**6)),
        flags=frozenset({Flag.DATE_CONFLICT, Flag.EXPIRING}),
    )


def test_what_is_sealed_comes_back(evidence, full) -> None:
    assert SEALER.unseal(SEALER.seal(evidence)) == evidence
    assert SEALER.unseal(SEALER.seal(full)) == full


def test_a_seal_is_one_line_and_always_the_same(full) -> None:
    assert SEALER.seal(full) == SEALER.seal(full)
    assert len(SEALER.seal(full).splitlines()) == 1


def test_any_changed_character_is_noticed(evidence) -> None:
    sealed = SEALER.seal(evidence)
    for place in range(len(sealed)):
        changed = sealed[:place] + chr(ord(sealed[place]) ^ 1) + sealed[place + 1 :]
        with pytest.raises(IntegrityError):
            SEALER.unseal(changed)


@pytest.mark.parametrize("text", ["", "v1", "v1 ", "v1 00 {}", "v2 00 {}", "\ud800 \ud800 \ud800", "v1  "])
def test_what_is_no_seal_is_refused(text) -> None:
    with pytest.raises(IntegrityError, match="device's key"):
        SEALER.unseal(text)


def test_another_device_cannot_use_it(evidence) -> None:
    with pytest.raises(IntegrityError):
        DeviceSealer(DeviceKey(bytes(KEY_BYTES))).unseal(SEALER.seal(evidence))


def test_a_seal_for_another_purpose_is_worth_nothing(evidence) -> None:
    payload = SEALER.seal(evidence).split(" ", 2)[2]
    with pytest.raises(IntegrityError):
        SEALER.unseal(KEY.seal(payload, purpose="mark/1"))


@pytest.mark.parametrize(
    "change",
    [{"mode": "golden"}, {"verified_at": "yesterday"}, {"subject": ["a"]}, {"durations_us": {"life": 1}}, {"packs": 1}],
    ids=lambda change: next(iter(change)),
)
def test_genuine_evidence_of_another_version_is_a_miss(evidence, change) -> None:
    fields = json.loads(SEALER.seal(evidence).split(" ", 2)[2]) | change
    with pytest.raises(IntegrityError, match="unknown form"):
        SEALER.unseal(KEY.seal(json.dumps(fields), purpose="evidence/1"))


@pytest.mark.parametrize("secret", [b"", bytes(KEY_BYTES - 1), bytes(KEY_BYTES + 1)])
def test_a_key_of_another_length_stops_the_agent(secret) -> None:
    with pytest.raises(ConfigurationError, match=str(len(secret))):
        DeviceKey(secret)


def test_the_secret_does_not_print() -> None:
    assert "secret" not in repr(DeviceKey(b"the secret of this device, 32 by"))
