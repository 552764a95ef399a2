from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.features import Tier
from tapi_agent.domain.ids import TENANT, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, Subject
from tapi_agent.plugin import base_catalog
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.records import DecisionRecorder
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import FakeClock
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords
from tapi_agent.testing.records import MemoryDecisions

START = datetime(2027, 3, 1, 12, tzinfo=UTC)
BOX = {"device_id": DeviceId("box"), "tenant_id": TenantId("acme")}


class Trusted:
    """Trusted time as the wall clock of a machine that is moved by hand."""

    def __init__(self, machine: FakeClock) -> None:
        self.machine = machine

    def now(self) -> datetime:
        return self.machine.wall()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog().extended(
        Declaration(
            source="base-catalog",
            first_party=True,
            features=tuple(base_catalog.register_features()),
            packs=tuple(base_catalog.register_packs()),
        )
    )


@pytest.fixture
def machine() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def clock(machine: FakeClock) -> Trusted:
    return Trusted(machine)


@pytest.fixture
def book(clock: Trusted) -> FakeLicenses:
    return FakeLicenses(tenant=Subject(**BOX, camera_id=TENANT), clock=clock)


@pytest.fixture
def connectivity(clock: Trusted) -> Connectivity:
    return Connectivity(clock=clock, billing=FakeBilling())


@pytest.fixture
def records() -> MemoryDecisions:
    return MemoryDecisions(**BOX)


@pytest.fixture
def recorder(
    catalog: Catalog,
    book: FakeLicenses,
    clock: Trusted,
    records: MemoryDecisions,
    connectivity: Connectivity,
) -> DecisionRecorder:
    entitlements = Entitlements(
        catalog=catalog,
        licensing=book,
        words=FakeWords(),
        quotas=FakeQuotas(),
        clock=clock,
        monotonic=clock.machine.monotonic,
        tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
    )
    return DecisionRecorder(
        entitlements=entitlements, licenses=book, records=records, connectivity=connectivity, clock=clock
    )
