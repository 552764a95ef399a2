"""Files which Keygen itself has issued are verified and decrypted; one changed byte is seen before that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pytest
from tests.integration.leases.conftest import by_others

from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.domain.ids import DeviceId
from tapi_agent.domain.lease import Lease, LeaseKind, LeaseRefusedError

KEYGEN: Final = {"keygen": "e8601e48b69383ba520245fd07971e983d06d22c4257cfd82304601479cee788"}


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file, what opens it, and what Keygen says of it."""

    name: str
    license_key: str
    fingerprint: str = ""
    kind: LeaseKind = LeaseKind.LICENSE
    issued: datetime
    expiry: datetime | None
    valid_until: datetime | None = None
    packs: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return by_others("keygen", self.name)

    def read(self, **changed: str | None) -> Lease:
        opens = {"license_key": self.license_key, "fingerprint": self.fingerprint} | changed
        return LeaseFiles(keys=KEYGEN, **opens).read(self.text)


RELAY = Published(
    name="relay_license.lic",
    license_key="9E32DD-D8CC22-771926-C2D834-C506DC-V3",
    issued=datetime(2025, 12, 5, 16, 49, 12, 964_000, tzinfo=UTC),
    expiry=datetime(2026, 1, 4, 16, 49, 12, 964_000, tzinfo=UTC),
)
PYTHON = Published(
    name="py_machine.lic",
    license_key="B10760-1B177D-656D1F-C03298-9AF89E-V3",
    fingerprint="198e9fe586114844f6a4eaca5069b41a7ed43fb5a2df84892b69826d64573e39",
    kind=LeaseKind.MACHINE,
    issued=datetime(2022, 7, 28, 14, 22, 23, 435_000, tzinfo=UTC),
    expiry=datetime(2022, 8, 28, 14, 22, 23, 435_000, tzinfo=UTC),  # a month: what ttl says ends ten hours earlier
)
RUST = Published(
    name="rust_license.lic",
    license_key="988214-879010-F1185E-B37E91-E53AF5-V3",
    issued=datetime(2022, 8, 8, 17, 31, 34, 431_000, tzinfo=UTC),
    expiry=datetime(2023, 8, 8, 17, 31, 34, 431_000, tzinfo=UTC),
    valid_until=datetime(2025, 1, 1, tzinfo=UTC),
    packs=("FEATURE_ENTITLEMENT_C", "FEATURE_ENTITLEMENT_B", "FEATURE_ENTITLEMENT_A"),
)
JAVASCRIPT = Published(
    name="js_license.lic",
    license_key="8750AB-30B7BD-023BA9-31B601-4550A2-V3",
    issued=datetime(2025, 1, 8, 19, 1, 52, 378_000, tzinfo=UTC),
    expiry=None,
    packs=("OFFLINE_SUPPORT",),
)
PUBLISHED = (RELAY, PYTHON, RUST, JAVASCRIPT)
pytestmark = pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.name)


def test_what_it_says(file: Published) -> None:
    assert file.read() == Lease(
        kind=file.kind,
        key_id="keygen",
        issued=file.issued,
        expiry=file.expiry,
        device_id=DeviceId(file.fingerprint) if file.fingerprint else None,
        valid_until=file.valid_until,
        packs=file.packs,
    )


def refusal(file: Published, text: str, **changed: str | None) -> LeaseRefusedError:
    opens = {"license_key": file.license_key, "fingerprint": file.fingerprint} | changed
    with pytest.raises(LeaseRefusedError) as refusal:
        LeaseFiles(keys=KEYGEN, **opens).read(text)
    return refusal.value


def test_one_flipped_byte_is_seen_before_decryption(file: Published) -> None:
    """Each byte once, another bit at each place; the license key is wrong, so that decryption would show."""
    data = file.text.encode()
    assert "is genuine, but" in str(refusal(file, file.text, license_key="another"))
    for i in range(len(data)):
        flipped = data[:i] + bytes([data[i] ^ 1 << i % 7]) + data[i + 1 :]
        assert "genuine, but" not in str(refusal(file, flipped.decode("latin-1"), license_key="another"))


def test_it_opens_with_its_own_license_key_only(file: Published) -> None:
    for key in (None, "", "another", file.license_key.lower()):
        assert str(refusal(file, file.text, license_key=key)).startswith("the lease is genuine, but")


def test_a_machine_file_opens_on_its_own_machine_only(file: Published) -> None:
    if file.kind is LeaseKind.MACHINE:
        assert "nor this device id" in str(refusal(file, file.text, fingerprint="another"))
    else:
        assert file.read(fingerprint="another") == file.read()


def test_it_is_worth_nothing_under_another_key(file: Published) -> None:
    other = LeaseFiles(keys={"keygen": f"{7:064x}"}, license_key=file.license_key, fingerprint=file.fingerprint)
    with pytest.raises(LeaseRefusedError, match="no signature of a trusted key"):
        other.read(file.text)
