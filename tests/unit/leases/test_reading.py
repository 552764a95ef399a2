"""What a genuine lease file says is what was granted; whose word it is, and what is missing to read it."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.leases.conftest import GRANT, LICENSE_KEY, Authority, T, reader

from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind, LeaseRefusedError
from tapi_agent.domain.license import LicenseMode, LicenseStatus, Reason
from tapi_agent.sandbox.minting import Grant

if TYPE_CHECKING:
    from tapi_agent.adapters.leases import LeaseFiles

SIGNER, OTHER = Authority(kid="2027"), Authority(kid="2028")
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)

NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=255)
MOMENTS = st.datetimes(datetime(1971, 1, 2), datetime(8999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds
SPANS = st.dictionaries(
    st.sampled_from(["freshness_s", "offline_grace_s", "license_grace_s"]), st.none() | st.integers(0, 10**10)
)
GRANTS = st.builds(
    Grant,
    tenant_id=NAMES,
    device_id=NAMES,
    camera_id=st.just("") | NAMES,
    issued=MOMENTS,
    expiry=st.none() | MOMENTS,
    sequence=st.integers(0, 2**63 - 1),
    mode=st.sampled_from(LicenseMode),
    status=st.sampled_from(LicenseStatus),
    not_before=st.none() | MOMENTS,
    valid_until=st.none() | MOMENTS,
    packs=st.lists(NAMES, max_size=5),
    cameras_allowed=st.none() | st.integers(0, 2**31 - 1),
    durations=SPANS,
    components=st.dictionaries(NAMES, NAMES, max_size=5),
    nonce=st.none() | NAMES,
    reset_clock=st.booleans(),
)


def granted(grant: Grant) -> Lease:
    """The lease that a grant is, once it has been signed by SIGNER and read."""
    defaults = {"freshness_s": 3600, "offline_grace_s": 7 * 86_400, "license_grace_s": 14 * 86_400}
    spans = {name: timedelta(seconds=amount or 0) for name, amount in (defaults | dict(grant.durations)).items()}
    return Lease(
        kind=LeaseKind.MACHINE,
        key_id=SIGNER.kid,
        issued=grant.issued,
        expiry=grant.expiry,
        tenant_id=TenantId(grant.tenant_id),
        camera_id=CameraId(grant.camera_id),
        device_id=DeviceId(grant.device_id),
        mode=LicenseMode(grant.mode),
        status=LicenseStatus(grant.status),
        not_before=grant.not_before,
        valid_until=grant.valid_until,
        packs=tuple(grant.packs),
        cameras_allowed=grant.cameras_allowed,
        sequence=grant.sequence,
        nonce=grant.nonce,
        reset_clock=grant.reset_clock,
        freshness=spans["freshness_s"],
        offline_grace=spans["offline_grace_s"],
        license_grace=spans["license_grace_s"],
        components=grant.components,
    )


@given(grant=GRANTS, license_key=st.none() | st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_granted_is_read(grant: Grant, license_key: str | None) -> None:
    box = reader(SIGNER, license_key=license_key, fingerprint=grant.device_id)
    assert box.read(SIGNER.mint(grant, license_key=license_key)) == granted(grant)


@pytest.mark.parametrize("signer", [SIGNER, OTHER], ids=["old key", "new key"])
@pytest.mark.parametrize("turned", [False, True], ids=["old first", "new first"])
def test_during_a_rotation_either_key_verifies(signer: Authority, turned: bool) -> None:  # noqa: FBT001 - a case
    trusted = [OTHER, SIGNER] if turned else [SIGNER, OTHER]
    box = reader(*trusted)
    assert box.key_ids == tuple(one.kid for one in trusted)
    assert box.read(signer.mint()).key_id == signer.kid


def test_an_encrypted_license_file_is_bound_to_no_machine() -> None:
    document = SIGNER.document()
    document["data"]["type"] = "licenses"
    text = SIGNER.seal(document, kind="license", license_key=LICENSE_KEY, fingerprint="box")
    lease = reader(SIGNER, license_key=LICENSE_KEY, fingerprint="any").read(text)
    assert (lease.kind, lease.device_id, lease.camera_id) == (LeaseKind.LICENSE, None, "gate")


def refusal(box: LeaseFiles, text: str) -> LeaseRefusedError:
    with pytest.raises(LeaseRefusedError) as refusal:
        box.read(text)
    return refusal.value


ENCRYPTED = SIGNER.mint(license_key=LICENSE_KEY)
NAMELESS = SIGNER.document()
del NAMELESS["data"]["attributes"]["metadata"]["tapi"]["kid"]

REFUSED = {
    "no key is trusted": (reader(), ENCRYPTED, Reason.KEY_UNKNOWN, "no key is trusted", "set TRUSTED_KEYS"),
    "another key": (reader(OTHER), ENCRYPTED, Reason.EVIDENCE_INVALID, "no signature of a trusted key", "TRUSTED_KEYS"),
    "another key, named": (reader(OTHER), SIGNER.mint(), Reason.KEY_UNKNOWN, "not trusted", "add it to TRUSTED_KEYS"),
    "another key, not named": (
        reader(OTHER),
        SIGNER.seal(NAMELESS),
        Reason.EVIDENCE_INVALID,
        "no signature of a trusted key",
        "ask for the lease again",
    ),
    "another key, no document": (
        reader(OTHER),
        SIGNER.sign("AAAA", "base64+ed25519"),
        Reason.EVIDENCE_INVALID,
        "no signature of a trusted key",
        "ask for the lease again",
    ),
    "the trusted key's name": (
        reader(Authority(kid=SIGNER.kid)),
        SIGNER.mint(),
        Reason.EVIDENCE_INVALID,
        "no signature of a trusted key",
        "ask for the lease again",
    ),
    "another trusted key's name": (
        reader(SIGNER, OTHER),
        Authority(kid=OTHER.kid, private=SIGNER.private).mint(),
        Reason.EVIDENCE_INVALID,
        "metadata.tapi.kid is another key",
        "operators",
    ),
    "no license key": (reader(SIGNER), ENCRYPTED, Reason.EVIDENCE_INVALID, "no license key is set", "set LICENSE_KEY"),
    "another license key": (
        reader(SIGNER, license_key="another"),
        ENCRYPTED,
        Reason.EVIDENCE_INVALID,
        "neither this license key nor this device id",
        "correct LICENSE_KEY",
    ),
    "another device": (
        reader(SIGNER, license_key=LICENSE_KEY, fingerprint="another"),
        ENCRYPTED,
        Reason.EVIDENCE_INVALID,
        "neither this license key nor this device id",
        "EDGE_DEVICE_ID",
    ),
}


@pytest.mark.parametrize(("box", "text", "reason", "message", "fix"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_why_and_what_to_do(
    box: LeaseFiles, text: str, reason: Reason, message: str, fix: str
) -> None:
    error = refusal(box, text)
    assert error.reason is reason
    assert message in str(error)
    assert fix in error.fix
    assert LICENSE_KEY not in f"{error}{error.fix}"


PART = b64encode(bytes(12)).decode()


@pytest.mark.parametrize(
    "enc",
    [
        "",
        "AAAA",
        "AAAA.AAAA",
        f"AAAA.{PART}",
        f"AAAA.{PART}.{PART}",
        f"AAAA.{PART}.{PART}.AAAA",
        f"AA=.{PART}.AAAA",
        ".",
    ],
)
def test_contents_that_are_not_ciphertext_iv_and_tag(enc: str) -> None:
    error = refusal(reader(SIGNER, license_key=LICENSE_KEY), SIGNER.sign(enc))
    assert str(error).startswith("the lease is genuine, but not in the form agreed: ")
    assert "operators" in error.fix


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@given(document=JSON | st.fixed_dictionaries({"data": JSON, "meta": JSON, "included": JSON}))
def test_any_document_is_refused_and_nothing_else(document: object) -> None:
    assert refusal(reader(SIGNER), SIGNER.seal(document)).reason is Reason.EVIDENCE_INVALID


@given(data=st.data())
def test_any_value_at_any_place_is_read_or_refused(data: st.DataObject) -> None:
    document = SIGNER.document(packs=["a"], components={"nic": "00"}, durations={"freshness_s": 1})
    place = document
    while True:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or data.draw(st.booleans()) or not place[name]:
            break
        place = place[name]
    place[name] = data.draw(JSON)
    try:
        assert reader(SIGNER).read(SIGNER.seal(document)).issued.tzinfo is UTC
    except LeaseRefusedError as error:
        assert error.reason is Reason.EVIDENCE_INVALID  # noqa: PT017 - both ends are right


@pytest.mark.parametrize(
    "plain",
    [
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"data":1}'.decode().encode("utf-16"),
        b"[" * 10_000,
        b'{"a":' * 5_000,
        b'{"meta":' + b"9" * 5_000 + b"}",
        b'{"meta":NaN}',
        b'{"meta":{},"meta":{}}',
        b"null",
        b"",
    ],
    ids=[
        "bytes",
        "byte order mark",
        "UTF-16",
        "deep list",
        "deep object",
        "long number",
        "NaN",
        "twice",
        "null",
        "empty",
    ],
)
def test_what_is_signed_but_no_document(plain: bytes) -> None:
    error = refusal(reader(SIGNER), SIGNER.sign(b64encode(plain).decode(), "base64+ed25519"))
    assert "the lease is genuine, but not in the form agreed" in str(error)


@pytest.mark.parametrize(
    ("member", "instead"),
    [
        ('"sequence":7', '"sequence":7,"sequence":8'),
        ('"ttl":2592000', '"ttl":NaN'),
        ('"ttl":2592000', '"ttl":-Infinity'),
    ],
    ids=["a name twice", "NaN", "Infinity"],
)
def test_a_document_that_parsers_read_differently_is_none(member: str, instead: str) -> None:
    plain = json.dumps(SIGNER.document(), separators=(",", ":"))
    assert member in plain
    text = SIGNER.sign(b64encode(plain.replace(member, instead).encode()).decode(), "base64+ed25519")
    assert "not JSON, or a name occurs twice" in str(refusal(reader(SIGNER), text))


def test_ten_thousand_decimals_of_a_second_are_cut() -> None:
    document = SIGNER.document()
    document["meta"]["issued"] = f"2027-03-01T12:00:00.{'1' * 10_000}Z"
    assert reader(SIGNER).read(SIGNER.seal(document)).issued == T + timedelta(microseconds=111_111)


def test_the_grant_of_these_tests_is_a_plain_one() -> None:
    assert reader(SIGNER).read(SIGNER.mint()) == granted(GRANT)
