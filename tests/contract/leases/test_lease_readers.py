"""One suite for whatever reads leases: the fake of the tests, and the reader of real files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind, LeaseRefusedError
from tapi_agent.domain.license import LicenseMode, LicenseStatus, Reason
from tapi_agent.sandbox.minting import Grant, mint
from tapi_agent.testing.leases import FakeLeases

if TYPE_CHECKING:
    from tapi_agent.ports.leases import LeaseReader

T: Final = datetime(2027, 3, 1, 12, tzinfo=UTC)
LEASE: Final = Lease(
    kind=LeaseKind.MACHINE,
    key_id="new",
    issued=T,
    expiry=T + timedelta(days=30),
    tenant_id=TenantId("acme"),
    camera_id=CameraId("gate"),
    device_id=DeviceId("box"),
    mode=LicenseMode.ENTERPRISE,
    status=LicenseStatus.PAST_DUE,
    not_before=T - timedelta(days=1),
    valid_until=T + timedelta(days=365),
    packs=("retail", "airports"),
    cameras_allowed=8,
    sequence=7,
    nonce="0123456789abcdef" * 2,
    reset_clock=True,
    freshness=timedelta(minutes=30),
    offline_grace=timedelta(days=3),
    license_grace=timedelta(0),
    components={"nic": "ab" * 32},
)


class Service(Protocol):
    """Issues leases, and knows the boxes that are to read them."""

    def issue(self, lease: Lease) -> str:
        """The text of a file; ``lease.key_id`` is "old" or "new"."""
        ...

    def reader(self, *key_ids: str) -> LeaseReader:
        """A box that trusts these keys."""
        ...


class FakeService:
    """The fake is both: what it has not issued is not genuine."""

    def __init__(self) -> None:
        self._leases = FakeLeases()

    def issue(self, lease: Lease) -> str:
        return self._leases.issue(lease)

    def reader(self, *key_ids: str) -> LeaseReader:
        self._leases.key_ids = key_ids
        return self._leases


class RealService:
    """Signs with one of two keys."""

    license_key: str | None = None

    def __init__(self) -> None:
        self._keys = {kid: Ed25519PrivateKey.generate() for kid in ("old", "new")}

    def issue(self, lease: Lease) -> str:
        grant = Grant(
            tenant_id=str(lease.tenant_id),
            device_id=str(lease.device_id),
            camera_id=lease.camera_id,
            issued=lease.issued,
            expiry=lease.expiry,
            sequence=lease.sequence,
            mode=lease.mode,
            status=lease.status,
            not_before=lease.not_before,
            valid_until=lease.valid_until,
            packs=lease.packs,
            cameras_allowed=lease.cameras_allowed,
            durations={
                f"{name}_s": getattr(lease, name) // timedelta(seconds=1)
                for name in ("freshness", "offline_grace", "license_grace")
            },
            components=lease.components,
            nonce=lease.nonce,
            reset_clock=lease.reset_clock,
        )
        return mint(grant, signer=self._keys[lease.key_id], kid=lease.key_id, license_key=self.license_key)

    def reader(self, *key_ids: str) -> LeaseReader:
        keys = {kid: self._keys[kid].public_key().public_bytes_raw().hex() for kid in key_ids}
        return LeaseFiles(keys=keys, license_key=self.license_key, fingerprint="box")


class EncryptingService(RealService):
    """Encrypts what it signs."""

    license_key = "C1D2-LICENSE"


@pytest.fixture(params=[FakeService, RealService, EncryptingService], ids=["fake", "plain files", "encrypted files"])
def service(request: pytest.FixtureRequest) -> Service:
    return request.param()


def refusal(reader: LeaseReader, text: str) -> LeaseRefusedError:
    with pytest.raises(LeaseRefusedError) as refusal:
        reader.read(text)
    return refusal.value


def test_what_was_issued_is_read(service: Service) -> None:
    assert service.reader("new").read(service.issue(LEASE)) == LEASE


def test_reading_again_says_the_same(service: Service) -> None:
    text, reader = service.issue(LEASE), service.reader("new")
    assert reader.read(text) == reader.read(text)


def test_two_leases_are_two(service: Service) -> None:
    another = service.issue(Lease(kind=LeaseKind.MACHINE, key_id="new", issued=T, expiry=None, **OWNER))
    assert service.issue(LEASE) != another
    assert service.reader("new").read(another).expiry is None


OWNER: Final = {"tenant_id": TenantId("acme"), "device_id": DeviceId("box"), "camera_id": CameraId("door")}


def test_either_of_two_trusted_keys_will_do(service: Service) -> None:
    old = Lease(kind=LeaseKind.MACHINE, key_id="old", issued=T, expiry=None, **OWNER)
    texts = [service.issue(LEASE), service.issue(old)]
    reader = service.reader("old", "new")
    assert [reader.read(text).key_id for text in texts] == ["new", "old"]
    assert list(reader.key_ids) == ["old", "new"]


def test_another_key_is_not_trusted(service: Service) -> None:
    """An encrypted file does not show which key it names."""
    reason = refusal(service.reader("old"), service.issue(LEASE)).reason
    assert reason is (Reason.EVIDENCE_INVALID if isinstance(service, EncryptingService) else Reason.KEY_UNKNOWN)


def test_without_keys_nothing_is_genuine(service: Service) -> None:
    text, reader = service.issue(LEASE), service.reader()
    assert not reader.key_ids
    assert refusal(reader, text).reason is Reason.KEY_UNKNOWN


@pytest.mark.parametrize("text", ["", "lease", "-----BEGIN MACHINE FILE-----\nAAAA\n-----END MACHINE FILE-----\n"])
def test_what_was_never_issued_is_not_genuine(service: Service, text: str) -> None:
    assert refusal(service.reader("new"), text).reason is Reason.EVIDENCE_INVALID


def test_a_changed_file_is_not_genuine(service: Service) -> None:
    text = service.issue(LEASE)
    assert refusal(service.reader("new"), text.replace("MACHINE", "LICENSE")).reason is Reason.EVIDENCE_INVALID


def test_several_in_one_text_come_apart(service: Service) -> None:
    texts = [service.issue(LEASE), service.issue(LEASE)]
    assert list(service.reader("new").split("\n".join(texts))) == texts


@pytest.mark.parametrize("change", ["", "Dear customer,\n{}", "{}Regards"], ids=["nothing", "before", "after"])
def test_anything_else_beside_them_is_refused(service: Service, change: str) -> None:
    text, reader = change.format(service.issue(LEASE)), service.reader("new")
    with pytest.raises(LeaseRefusedError) as refusal:
        reader.split(text)
    assert refusal.value.reason is Reason.EVIDENCE_INVALID


def test_where_no_key_is_trusted_none_is_known(service: Service) -> None:
    assert refusal(service.reader(), "anything").reason is Reason.KEY_UNKNOWN
