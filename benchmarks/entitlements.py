"""The table of decisions: how long it takes to compile, what it weighs, and how many checks a thread makes of it.

    python benchmarks/entitlements.py [--cameras N] [--features N] [--runs N]

Prints medians. The checks stand beside a bare dictionary lookup of the same keys in the same run; the table is compiled
for cameras that were all heard of at another time, and once more for cameras of which no two hold the same.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tapi_agent.adapters.clock import SystemClock
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.features import Feature, GrowthPack, Tier
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(2027, 3, 1, tzinfo=UTC)
TARGET_SECONDS, TARGET_MB, TARGET_CHECKS = 1.0, 10.0, 500_000


class Moving:
    """Trusted time as the machine's monotonic clock moves it."""

    def __init__(self) -> None:
        self._machine = SystemClock()
        self._start = self._machine.monotonic()

    def now(self) -> datetime:
        """The start, and what has passed since."""
        return NOW + timedelta(seconds=self._machine.monotonic() - self._start)


def catalog_of(features: int) -> Catalog:
    """So many features, each also sold alone by a pack of its own."""
    keys = [f"bench.feature_{number}" for number in range(features)]
    packs = [GrowthPack(slug=f"pack_{n}", title=f"Pack {n}", features=frozenset({key})) for n, key in enumerate(keys)]
    packs.append(GrowthPack(slug="base", title="Base", features=frozenset(keys[::2])))
    declared = tuple(Feature(key=key) for key in keys)
    return Catalog().extended(Declaration(source="bench", features=declared, packs=tuple(packs)))


def site(cameras: Sequence[CameraId], catalog: Catalog, *, alike: bool) -> Entitlements:
    """A box with these cameras, each heard of at a time of its own; ``alike``: they hold the same."""
    subject = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId(""))
    clock = Moving()
    book = FakeLicenses(tenant=subject, clock=clock)
    slugs = sorted(catalog.packs)
    for number, camera in enumerate(cameras):
        bits = [slug for bit, slug in enumerate(slugs[:10]) if number >> bit & 1]
        book.hears(camera, packs=() if alike else tuple(bits))
    return Entitlements(
        catalog=catalog,
        licensing=book,
        words=FakeWords(),
        quotas=FakeQuotas(),
        clock=clock,
        monotonic=SystemClock().monotonic,
        tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
    )


def compiled(entitlements: Entitlements, cameras: Sequence[CameraId], keys: Sequence[str]) -> float:
    """Seconds that every camera's every decision takes when nothing is compiled yet."""
    entitlements.start_over()
    began = time.perf_counter()
    for camera in cameras:
        for key in keys:
            entitlements.check(key, camera)
    return time.perf_counter() - began


def weight(entitlements: Entitlements, cameras: Sequence[CameraId], keys: Sequence[str]) -> float:
    """Megabytes that the compiled table holds."""
    entitlements.start_over()
    gc.collect()
    tracemalloc.start()
    compiled(entitlements, cameras, keys)
    gc.collect()
    held, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def rate(ask: Callable[[str], object], keys: Sequence[str], rounds: int) -> float:
    """Questions a second."""
    began = time.perf_counter()
    for _ in range(rounds):
        for key in keys:
            ask(key)
    return rounds * len(keys) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    catalog = catalog_of(options.features)
    cameras = [CameraId(f"camera {number}") for number in range(options.cameras)]
    keys = sorted(catalog.features)
    for name, alike in (("all hold the same", True), ("no two hold the same", False)):
        box = site(cameras, catalog, alike=alike)
        seconds = statistics.median(compiled(box, cameras, keys) for _ in range(options.runs))
        print(
            f"{options.cameras} x {options.features}, {name}: compiled in {seconds:.3f} s (target {TARGET_SECONDS:g}), "
            f"{weight(box, cameras, keys):.1f} MB (target {TARGET_MB:g})"
        )
    box = site(cameras, catalog, alike=True)
    bare = {(camera, key): object() for camera in cameras for key in keys}
    camera = cameras[len(cameras) // 2]
    checks = statistics.median(rate(lambda key: box.check(key, camera), keys, 2000) for _ in range(options.runs))
    floor = statistics.median(rate(lambda key: bare[camera, key], keys, 2000) for _ in range(options.runs))
    share = f"{checks / floor:.0%} of a bare dictionary's {floor:,.0f}/s"
    print(f"checks: {checks:,.0f}/s (target {TARGET_CHECKS:,}), {share}")


if __name__ == "__main__":
    main()
