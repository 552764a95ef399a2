"""The fields of a document: what is left out, what means none, what is not in the form agreed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.leases.conftest import Authority, T, reader

from tapi_agent.domain.lease import Lease, LeaseRefusedError
from tapi_agent.domain.license import LicenseMode, LicenseStatus

SIGNER = Authority()
BOX = reader(SIGNER)
MISSING: Any = object()
TAPI = "data.attributes.metadata.tapi"
LICENSE = "included.0.attributes"
CONFIDENTIAL = "do-not-repeat"


def put(document: Any, path: str, value: object) -> Any:
    """The document with ``value`` at ``path``, or without what is there."""
    *way, last = path.split(".")
    place = document
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is MISSING:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return document


def with_(path: str, value: object) -> Lease:
    return BOX.read(SIGNER.seal(put(SIGNER.document(), path, value)))


@pytest.mark.parametrize(
    ("path", "value", "field", "read"),
    [
        ("meta.expiry", MISSING, "expiry", T + timedelta(days=30)),
        ("meta.expiry", None, "expiry", None),
        ("meta.expiry", "0001-01-01T00:00:00Z", "expiry", None),
        ("meta.expiry", "9999-12-31T23:59:59-23:59", "expiry", datetime(9000, 1, 1, tzinfo=UTC)),
        ("meta.issued", "2027-03-01T13:00:00.5+01:00", "issued", T + timedelta(seconds=0.5)),
        ("meta.issued", "2027-03-01T12:00:00.123456789Z", "issued", T + timedelta(microseconds=123_456)),
        ("meta.nonce", MISSING, "nonce", None),
        ("meta.reset_clock", MISSING, "reset_clock", False),
        ("meta.reset_clock", None, "reset_clock", False),
        (f"{LICENSE}.expiry", MISSING, "valid_until", None),
        (f"{LICENSE}.expiry", None, "valid_until", None),
        (f"{LICENSE}.expiry", "1970-01-01T00:00:00Z", "valid_until", None),
        (f"{LICENSE}.expiry", "2028-01-01T00:00:00Z", "valid_until", datetime(2028, 1, 1, tzinfo=UTC)),
        (f"{LICENSE}.status", "BANNED", "status", LicenseStatus.ACTIVE),
        ("included", MISSING, "valid_until", None),
        ("included", [], "valid_until", None),
        (f"{TAPI}.kid", MISSING, "key_id", SIGNER.kid),
        (f"{TAPI}.camera_id", "", "camera_id", ""),
        (f"{TAPI}.packs", None, "packs", ()),
        (f"{TAPI}.packs", ["Advanced Analytics"], "packs", ("Advanced Analytics",)),
        (f"{TAPI}.cameras_allowed", 0, "cameras_allowed", 0),
        (f"{TAPI}.cameras_allowed", None, "cameras_allowed", None),
        (f"{TAPI}.not_before", MISSING, "not_before", None),
        (f"{TAPI}.durations", MISSING, "freshness", timedelta(hours=1)),
        (f"{TAPI}.durations", None, "offline_grace", timedelta(days=7)),
        (f"{TAPI}.durations", {"license_grace_s": None}, "license_grace", timedelta(0)),
        (f"{TAPI}.durations", {"offline_grace_s": 60}, "offline_grace", timedelta(minutes=1)),
        (f"{TAPI}.components", MISSING, "components", {}),
        (f"{TAPI}.of_tomorrow", {"a": [1]}, "mode", LicenseMode.BASE),
        ("of_tomorrow", 1, "mode", LicenseMode.BASE),
    ],
)
def test_what_a_field_means(path: str, value: object, field: str, read: object) -> None:
    assert getattr(with_(path, value), field) == read


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("data", MISSING, "data.type"),
        ("data", [], "document.data is not an object"),
        ("data.type", "licenses", "data.type is not machines"),
        ("data.attributes.fingerprint", MISSING, "fingerprint"),
        ("data.attributes.fingerprint", 1, "fingerprint"),
        ("data.attributes.metadata", CONFIDENTIAL, "metadata is not an object"),
        (TAPI, CONFIDENTIAL, "tapi is not an object"),
        (TAPI, None, "tapi.schema"),
        (f"{TAPI}.schema", MISSING, "tapi.schema"),
        (f"{TAPI}.schema", 2, "tapi.schema"),
        (f"{TAPI}.schema", 0, "tapi.schema"),
        (f"{TAPI}.schema", True, "tapi.schema"),
        (f"{TAPI}.schema", "1", "tapi.schema"),
        (f"{TAPI}.kid", 7, "tapi.kid"),
        (f"{TAPI}.kid", CONFIDENTIAL, "tapi.kid is another key"),
        (f"{TAPI}.tenant_id", MISSING, "tapi.tenant_id"),
        (f"{TAPI}.tenant_id", "", "tapi.tenant_id"),
        (f"{TAPI}.tenant_id", "a" * 256, "tapi.tenant_id"),
        (f"{TAPI}.tenant_id", "nul\0", "tapi.tenant_id"),
        (f"{TAPI}.camera_id", MISSING, "tapi.camera_id"),
        (f"{TAPI}.camera_id", None, "tapi.camera_id"),
        (f"{TAPI}.camera_id", "\ud800", "tapi.camera_id"),
        (f"{TAPI}.camera_id", "\x1b[2J", "tapi.camera_id"),
        (f"{TAPI}.mode", MISSING, "tapi.mode"),
        (f"{TAPI}.mode", CONFIDENTIAL, "tapi.mode is not one of trial, base"),
        (f"{TAPI}.mode", ["base"], "tapi.mode"),
        (f"{TAPI}.status", MISSING, "tapi.status"),
        (f"{TAPI}.status", "ACTIVE", "tapi.status is not one of active"),
        (f"{TAPI}.packs", "advanced_analytics", "tapi.packs is not a list"),
        (f"{TAPI}.packs", [1], "tapi.packs"),
        (f"{TAPI}.cameras_allowed", MISSING, "tapi.cameras_allowed"),
        (f"{TAPI}.cameras_allowed", -1, "tapi.cameras_allowed"),
        (f"{TAPI}.cameras_allowed", 2**31, "tapi.cameras_allowed"),
        (f"{TAPI}.cameras_allowed", 1.0, "tapi.cameras_allowed"),
        (f"{TAPI}.cameras_allowed", True, "tapi.cameras_allowed"),
        (f"{TAPI}.sequence", MISSING, "tapi.sequence"),
        (f"{TAPI}.sequence", None, "tapi.sequence"),
        (f"{TAPI}.sequence", 2**63, "tapi.sequence"),
        (f"{TAPI}.not_before", "2027-03-01", "tapi.not_before"),
        (f"{TAPI}.durations", [], "durations is not an object"),
        (f"{TAPI}.durations", {"freshness_s": -1}, "durations.freshness_s"),
        (f"{TAPI}.durations", {"freshness_s": 1.5}, "durations.freshness_s"),
        (f"{TAPI}.durations", {"offline_grace_s": 10**11}, "durations.offline_grace_s"),
        (f"{TAPI}.durations", {"license_grace_s": "60"}, "durations.license_grace_s"),
        (f"{TAPI}.components", ["nic"], "components is not an object"),
        (f"{TAPI}.components", {CONFIDENTIAL: None}, "tapi.components"),
        (f"{TAPI}.components", {"": "00"}, "tapi.components"),
        ("meta", MISSING, "meta.issued"),
        ("meta.issued", MISSING, "meta.issued"),
        ("meta.issued", None, "meta.issued"),
        ("meta.issued", "1970-01-01T00:00:00Z", "meta.issued"),
        ("meta.issued", 1_800_000_000, "meta.issued"),
        ("meta.issued", "2027-03-01T12:00:00", "meta.issued"),
        ("meta.issued", "2027-03-01 12:00:00Z", "meta.issued"),
        ("meta.issued", "2027-02-30T12:00:00Z", "meta.issued is not a time of the calendar"),
        ("meta.issued", "2027-03-01T12:00:00+24:00", "meta.issued is not a time of the calendar"),
        ("meta.issued", "٢٠٢٧-03-01T12:00:00Z", "meta.issued"),
        ("meta.expiry", CONFIDENTIAL, "meta.expiry"),
        ("meta.nonce", 5, "meta.nonce"),
        ("meta.reset_clock", 1, "meta.reset_clock"),
        ("included", {}, "included is not a list"),
        ("included.0", CONFIDENTIAL, "included[] is not an object"),
        ("included.0.type", MISSING, "included[].type"),
        (f"{LICENSE}.expiry", False, "expiry"),
    ],
)
def test_what_is_not_in_the_form_agreed_is_named_and_not_repeated(path: str, value: object, place: str) -> None:
    with pytest.raises(LeaseRefusedError) as refusal:
        with_(path, value)
    assert place in str(refusal.value)
    assert CONFIDENTIAL not in str(refusal.value)


def test_two_licenses_for_one_machine_are_none() -> None:
    document = SIGNER.document()
    document["included"] *= 2
    with pytest.raises(LeaseRefusedError, match="more than one license"):
        BOX.read(SIGNER.seal(document))


def keygens(status: object = "ACTIVE", **attributes: object) -> dict[str, Any]:
    """A license file as Keygen itself would write it."""
    return {
        "data": {"type": "licenses", "attributes": {"status": status, "metadata": {}} | attributes},
        "included": [
            {"type": "products", "attributes": {"code": 5}},
            {"type": "entitlements", "attributes": {"code": "ADVANCED_ANALYTICS"}},
            {"type": "entitlements", "attributes": {"code": "RETAIL"}},
        ],
        "meta": {"issued": "2027-03-01T12:00:00Z", "expiry": None, "ttl": None},
    }


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"status": "ACTIVE"}, LicenseStatus.ACTIVE),
        ({"status": "EXPIRING"}, LicenseStatus.ACTIVE),
        ({"status": "INACTIVE"}, LicenseStatus.ACTIVE),
        ({"status": None}, LicenseStatus.ACTIVE),
        ({"status": "EXPIRED"}, LicenseStatus.EXPIRED),
        ({"status": "SUSPENDED"}, LicenseStatus.SUSPENDED),
        ({"status": "BANNED"}, LicenseStatus.REVOKED),
        ({"status": "ACTIVE", "suspended": True}, LicenseStatus.SUSPENDED),
        ({"status": "ACTIVE", "suspended": False}, LicenseStatus.ACTIVE),
        ({"status": "ACTIVE", "metadata": None}, LicenseStatus.ACTIVE),
    ],
    ids=str,
)
def test_a_file_of_keygens_own(attributes: dict[str, Any], status: LicenseStatus) -> None:
    lease = BOX.read(SIGNER.seal(keygens(**attributes), kind="license"))
    assert (lease.status, lease.mode, lease.packs) == (status, LicenseMode.BASE, ("ADVANCED_ANALYTICS", "RETAIL"))
    assert (lease.tenant_id, lease.device_id, lease.camera_id, lease.sequence) == (None, None, "", 0)


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (keygens("RETIRED"), "status is none of Keygen's"),
        (keygens(suspended="yes"), "suspended is not true or false"),
        (keygens(expiry="tomorrow"), "expiry"),
        (keygens() | {"included": [{"type": "entitlements", "attributes": {}}]}, "code"),
    ],
    ids=["status", "suspended", "expiry", "code"],
)
def test_a_file_of_keygens_own_that_is_not_understood(document: dict[str, Any], place: str) -> None:
    with pytest.raises(LeaseRefusedError, match=place):
        BOX.read(SIGNER.seal(document, kind="license"))
