"""One question, three ways to ask it: the service, the socket, and SQL give the same answer for every site."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapi_agent.adapters.postgres.entitlements import PostgresDecisions
from tapi_agent.adapters.postgres.pool import Database
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.decision import QuotaFigures
from tapi_agent.domain.features import Tier
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseMode, LicenseStatus, Reason, Subject
from tapi_agent.domain.override import Override
from tapi_agent.domain.quota import Period
from tapi_agent.plugin import base_catalog
from tapi_agent.services.connectivity import Connectivity
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.records import DecisionRecorder
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import httpx

CATALOG: Final = Catalog().extended(
    Declaration(
        source="base-catalog",
        first_party=True,
        features=tuple(base_catalog.register_features()),
        packs=tuple(base_catalog.register_packs()),
    )
)
KEYS: Final = [*sorted(CATALOG.features), "no.such"]
CAMERAS: Final = ["cam-1", "cam-2", "cam-3"]
ASKED: Final = [*CAMERAS, "never-seen", ""]
SUBJECT: Final = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=TENANT)
SQL: Final = """
SELECT camera, feature, answer.allowed, answer.reason, answer.license_state, answer.source_pack
FROM unnest(%s::text[], %s::text[]) AS asked (camera, feature), feature_check('acme', camera, feature) AS answer
"""

words = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(LicenseMode),
        "packs": st.lists(
            st.sampled_from(["Advanced Analytics", "active_transport", "Intelligence", "integration", "Fog", "base"]),
            max_size=3,
        ).map(tuple),
        "status": st.sampled_from(LicenseStatus),
        "denied": st.none() | st.sampled_from([Reason.REVOKED, Reason.UNLICENSED, Reason.CAMERA_LIMIT]),
        "verified_at": st.integers(0, 12).map(lambda days: START - timedelta(days=days)),
        "valid_until": st.none() | st.integers(-20, 20).map(lambda days: START + timedelta(days=days)),
        "cameras_allowed": st.none() | st.just(2),
    }
)
sites = st.dictionaries(st.sampled_from([*CAMERAS, ""]), words, max_size=4)
overrides = st.dictionaries(st.sampled_from(KEYS), st.booleans(), max_size=5)


class Standing:
    """Trusted time that stands still."""

    def now(self) -> datetime:
        return START


class Book(FakeLicenses):
    """Licenses that can be exchanged all at once."""

    def __init__(self) -> None:
        super().__init__(tenant=SUBJECT, clock=Standing())

    def becomes(self, site: dict[str, dict[str, Any]]) -> None:
        self._views.clear()
        self.generation += 1
        for camera, facts in site.items():
            self.hears(camera, **facts)


@dataclass(kw_only=True)
class Rig:
    """One agent's decisions, behind a socket and in PostgreSQL."""

    dsn: str
    book: Book = field(default_factory=Book)
    words: FakeWords = field(default_factory=FakeWords)
    quotas: FakeQuotas = field(default_factory=FakeQuotas)
    http: httpx.Client = None  # type: ignore[assignment]
    live: Any = None

    def __post_init__(self) -> None:
        self.entitlements = Entitlements(
            catalog=CATALOG,
            licensing=self.book,
            words=self.words,
            quotas=self.quotas,
            clock=Standing(),
            monotonic=lambda: 0.0,
            tiers={**dict.fromkeys(LicenseMode, Tier.PROFESSIONAL), LicenseMode.UNLICENSED: Tier.BASIC},
        )

    async def becomes(self, site: dict[str, dict[str, Any]], overrides: dict[str, bool], left: int | None) -> None:
        """In the agent's loop: exchange everything that decides, and let it be written down."""
        self.book.becomes(site)
        self.words.words = {key: Override(feature=key, enabled=on, asked_at=START) for key, on in overrides.items()}
        self.quotas.standing = {} if left is None else {"llm_tokens": _figures(left)}
        self.entitlements.start_over()
        database = Database(dsn=self.dsn)
        await database.open()
        try:
            await DecisionRecorder(
                entitlements=self.entitlements,
                licenses=self.book,
                records=PostgresDecisions(database=database, device_id=SUBJECT.device_id, tenant_id=SUBJECT.tenant_id),
                connectivity=Connectivity(clock=Standing(), billing=FakeBilling()),  # type: ignore[arg-type]
                clock=Standing(),
            ).record()
        finally:
            await database.close()

    async def by_service(self) -> dict[tuple[str, str], tuple[object, ...]]:
        found = {}
        for camera, key in product(ASKED, KEYS):
            one = self.entitlements.check(key, CameraId(camera))
            found[camera, key] = (one.allowed, str(one.reason), str(one.state), one.source_pack)
        return found

    def by_socket(self) -> dict[tuple[str, str], tuple[object, ...]]:
        questions = [{"feature": key, "camera_id": camera or None} for camera, key in product(ASKED, KEYS)]
        results = self.http.post("/api/v1/check/batch", json={"checks": questions}).json()["results"]
        return {
            pair: (one["allowed"], one["reason"], one["state"], one["source_pack"])
            for pair, one in zip(product(ASKED, KEYS), results, strict=True)
        }

    def by_sql(self) -> dict[tuple[str, str], tuple[object, ...]]:
        cameras, keys = zip(*product(ASKED, KEYS), strict=True)
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(SQL, [list(cameras), list(keys)]).fetchall()
        return {(camera, key): tuple(answer) for camera, key, *answer in rows}


def _figures(left: int) -> QuotaFigures:
    return QuotaFigures(
        limit=Decimal(100),
        used=Decimal(100 - left),
        remaining=Decimal(left),
        resets_at=START + timedelta(days=9),
        soft=False,
        period=Period.MONTH,
    )


@pytest.fixture
def rig(database_dsn: str, living: Callable[..., Any]) -> Iterator[Rig]:
    rig = Rig(dsn=database_dsn)
    with living(entitlements=rig.entitlements) as live, live.http() as http:
        rig.live, rig.http = live, http
        yield rig


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(site=sites, overrides=overrides, left=st.none() | st.sampled_from([0, 7]))
def test_service_socket_and_sql_agree(
    rig: Rig, site: dict[str, dict[str, Any]], overrides: dict[str, bool], left: int | None
) -> None:
    rig.live.run(rig.becomes(site, overrides, left))
    by_service = rig.live.run(rig.by_service())
    assert rig.by_socket() == by_service
    by_sql = rig.by_sql()
    for pair, answer in by_service.items():
        told = by_sql[pair]
        if pair[1] == "no.such":
            assert told[:2] == answer[:2] == (False, "FEATURE_UNKNOWN")
        else:
            assert told == answer, pair
