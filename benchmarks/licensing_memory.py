"""What the license state of a camera costs: bytes in memory, classic and signed, and the time of one evaluation."""

from __future__ import annotations

import asyncio
import gc
import secrets
import statistics
import tempfile
import time
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tapi_agent.adapters.files import FileEvidence, FileRequest, FileRoster
from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.adapters.signing import DeviceKey, DeviceSealer
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Contact, Evidence, LicenseMode, Subject
from tapi_agent.ports.licenses import SealedEvidence
from tapi_agent.sandbox.minting import Grant, mint
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START, FakeClock
from tapi_agent.testing.leases import FakeMachine
from tapi_agent.testing.licenses import MemoryLicenseLog, MemoryMark

if TYPE_CHECKING:
    from tapi_agent.domain.events import LicenseChanged
    from tapi_agent.ports.billing import LicenseReply

CAMERAS = 1000
RUNS = 3
TENANT_OF_ALL = Subject(device_id=DeviceId("box-4711"), tenant_id=TenantId("acme"), camera_id=TENANT)
SIGNER = Ed25519PrivateKey.generate()
KEYS = {"2027-03": SIGNER.public_key().public_bytes_raw().hex()}
SEALER = DeviceSealer(DeviceKey(bytes(32)))
PACKS = ("Advanced Analytics", "Active Transport", "Retail")
COMPONENTS = {name: secrets.token_hex(32) for name in ("machine_id", "dmi_serial", "dmi_uuid", "mac_1", "mac_2")}


class Refusal(FakeBilling):
    """Knows no camera: each has its own problem to remember."""

    async def validate(self, subject: Subject, *_: object, **__: object) -> LicenseReply:
        """Refuse."""
        raise RejectedError(f"camera {subject.camera_id} is not known", code="not_found")


class Deaf(MemoryLicenseLog):
    """Keeps nothing: rows are the database's to hold."""

    async def append(self, _: object) -> None:
        """Forget them."""

    async def license_changed(self, _: LicenseChanged) -> None:
        """Forget it."""


def evidence_of(number: int) -> Evidence:
    """A camera's classic evidence."""
    return Evidence(
        subject=Subject(**{**_OWNER, "camera_id": CameraId(f"camera-{number:04d}")}),
        mode=LicenseMode.BASE,
        verified_at=START + timedelta(microseconds=number),
        valid_until=START + timedelta(days=300, microseconds=number),
        packs=PACKS,
        cameras_allowed=CAMERAS,
        sequence=1000 + number,
    )


_OWNER = {"device_id": TENANT_OF_ALL.device_id, "tenant_id": TENANT_OF_ALL.tenant_id}


def text_of(evidence: Evidence, *, signed: bool) -> str:
    """What the tiers keep of it."""
    if not signed:
        return SEALER.seal(evidence)
    grant = Grant(
        tenant_id=evidence.subject.tenant_id,
        device_id=evidence.subject.device_id,
        camera_id=evidence.subject.camera_id,
        issued=evidence.verified_at,
        expiry=START + timedelta(days=30),
        sequence=evidence.sequence,
        valid_until=evidence.valid_until,
        packs=PACKS,
        cameras_allowed=CAMERAS,
        components=COMPONENTS,
        nonce=secrets.token_hex(16),
    )
    return mint(grant, signer=SIGNER, kid="2027-03", license_key="a key")


async def bytes_per_camera(*, signed: bool) -> float:
    """What a started agent holds for each of a thousand cameras, every one of them asked for in vain."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        words = [evidence_of(number) for number in range(CAMERAS)]
        sealed = [SealedEvidence(evidence=word, sealed=text_of(word, signed=signed)) for word in words]
        await FileEvidence(state / "evidence.json").save_many(sealed)
        del words, sealed
        await _settled(state)  # what is imported or cached at the first time is nobody's license state
        gc.collect()
        tracemalloc.start()
        licensing = await _settled(state)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if len(licensing.cameras()) != CAMERAS or licensing.device().counts["valid"] != CAMERAS:
            raise RuntimeError("the cameras are not there")
        return held / CAMERAS


async def _settled(state: Path) -> Licensing:
    machine, billing, deaf = FakeClock(START + timedelta(minutes=1)), Refusal(), Deaf()
    clock = Timekeeper(clock=machine, store=MemoryMark())
    reader = LeaseFiles(keys=KEYS, license_key="a key", fingerprint=TENANT_OF_ALL.device_id)
    licensing = Licensing(
        around=Surroundings(
            tenant=TENANT_OF_ALL,
            policy=LicensePolicy(),
            billing=billing,
            connectivity=Connectivity(clock=clock, billing=billing),
            clock=clock,
            machine=machine,
            leases=Leases(reader=reader, machine=FakeMachine(COMPONENTS), tenant=TENANT_OF_ALL),
            entropy=secrets.token_bytes,
        ),
        tiers=[FileEvidence(state / "evidence.json")],
        sealer=SEALER,
        roster=FileRoster(state / "cameras.json"),
        requests=FileRequest(state / "request", key=DeviceKey(bytes(32))),
        edge_log=deaf,
        publisher=deaf,
    )
    await clock.start()
    await licensing.start()
    await licensing.refresh()
    await licensing.stop()
    return licensing


def evaluation() -> float:
    """Microseconds for one subject."""
    words = [evidence_of(number) for number in range(CAMERAS)]
    began = time.perf_counter()
    for word in words:
        evaluate(word, now=START, contact=Contact(attempted=True))
    return (time.perf_counter() - began) / CAMERAS * 1e6


def main() -> None:
    """Print medians."""
    for signed in (False, True):
        sizes = [asyncio.run(bytes_per_camera(signed=signed)) for _ in range(RUNS)]
        print(f"{'signed' if signed else 'classic':8} {statistics.median(sizes):6.0f} bytes a camera (goal 2048)")
    print(f"evaluate {statistics.median(evaluation() for _ in range(RUNS)):6.1f} µs a subject (goal 30)")


if __name__ == "__main__":
    main()
