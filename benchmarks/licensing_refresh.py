"""A full refresh of 1 000 cameras against the sandbox on loopback, and for how long the loop is held up meanwhile.

Classic: one report. Signed: one request and one lease a camera. First: one classic request a camera, as the service
does not know them yet. Run by hand; beside them, in the same run, the time of deriving all states once.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.files import FileEvidence
from tapi_agent.adapters.hardware import Hardware
from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.licenses import Announcements, MemoryLicenseLog, MemoryMark, MemoryRequest, MemoryRoster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

ROUNDS = 7
CAMERAS = [CameraId(f"camera-{number:04d}") for number in range(1000)]
SUBJECT = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
TICK = 0.001


def built(billing: HttpBilling, folder: Path, keys: Mapping[str, str]) -> Licensing:
    """Licensing with the real client, reader and evidence file."""
    machine = SystemClock()
    clock = Timekeeper(clock=machine, store=MemoryMark())
    reader = LeaseFiles(keys=keys, license_key=None, fingerprint=SUBJECT.device_id)
    return Licensing(
        around=Surroundings(
            tenant=SUBJECT,
            policy=LicensePolicy(),
            billing=billing,
            connectivity=Connectivity(clock=clock, billing=billing),
            clock=clock,
            machine=machine,
            leases=Leases(reader=reader, machine=Hardware(), tenant=SUBJECT),
            entropy=os.urandom,
        ),
        tiers=[FileEvidence(folder / f"evidence-{len(keys)}.json")],
        sealer=DeviceSealer(DeviceKey(bytes(KEY_BYTES))),
        roster=MemoryRoster(),
        requests=MemoryRequest(),
        edge_log=MemoryLicenseLog(),
        publisher=Announcements(),
    )


@asynccontextmanager
async def box(sandbox: SandboxProcess, folder: Path, keys: Mapping[str, str]) -> AsyncIterator[Licensing]:
    """A box with all cameras."""
    billing = HttpBilling(
        base_url=f"{sandbox.url}/api/v1",
        api_key=sandbox.api_key,
        device_id=SUBJECT.device_id,
        timeout=timedelta(seconds=5),
        retries=3,
        dialect="auto",
        agent_version="benchmark",
    )
    licensing = built(billing, folder, keys)
    await licensing.start()
    for camera in CAMERAS:
        licensing.register(camera)
    yield licensing
    await licensing.stop()
    await billing.close()


async def held_up(lags: list[float]) -> None:
    """Note how late the loop is, again and again, in milliseconds."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        lags.append((time.perf_counter() - began - TICK) * 1e3)


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds of work, and the longest time that it held the loop up."""
    lags: list[float] = []
    ticker = asyncio.create_task(held_up(lags))
    await asyncio.sleep(0)
    began = time.perf_counter()
    await work()
    taken = (time.perf_counter() - began) * 1e3
    await asyncio.sleep(2 * TICK)
    ticker.cancel()
    return taken, max(lags)


async def measure(sandbox: SandboxProcess, folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Each kind of refresh, some rounds."""

    async def refresh() -> None:
        done = await licensing.refresh()
        if done.answered != len(CAMERAS):
            raise RuntimeError(f"not all were answered: {done}")

    taken: dict[str, list[tuple[float, float]]] = {}
    async with box(sandbox, folder, {}) as licensing:
        taken["first, one call a camera"] = [await timed(refresh)]
        taken["classic, one report"] = [await timed(refresh) for _ in range(ROUNDS)]
        taken["deriving all states"] = [await timed(licensing.reevaluate) for _ in range(ROUNDS)]
    sandbox.admin.leases(SUBJECT.tenant_id)
    known = sandbox.admin.keys()
    keys = {key["kid"]: key["public_key"] for key in known}
    async with box(sandbox, folder, keys) as licensing:
        taken["signed, one lease a camera"] = [await timed(refresh) for _ in range(ROUNDS)]
    return taken


def main() -> None:
    """Print medians and the worst round."""
    with tempfile.TemporaryDirectory(prefix="ta-") as folder:
        state = Path(folder)
        with SandboxProcess(state / "ledger.db", tenant=SUBJECT.tenant_id) as sandbox:
            taken = asyncio.run(measure(sandbox, state))
    print(f"{len(CAMERAS)} cameras, load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores; milliseconds")
    for name, rounds in taken.items():
        times, lags = zip(*rounds, strict=True)
        print(
            f"{name:<28} median {statistics.median(times):8.1f}   worst {max(times):8.1f}   "
            f"loop held up: median {statistics.median(lags):6.1f}   worst {max(lags):6.1f}"
        )


if __name__ == "__main__":
    main()
