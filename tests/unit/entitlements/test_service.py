"""The table of decisions over licenses that change, clocks that jump, and cameras nobody has registered."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tapi_agent.domain.catalog import Declaration
from tapi_agent.domain.decision import DecisionReason as R
from tapi_agent.domain.decision import QuotaFigures
from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.features import Feature, GrowthPack, Tier
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import (
    Contact,
    Evidence,
    Flag,
    LicenseMode,
    LicenseState,
    LicenseStatus,
    Reason,
    Standing,
    Subject,
)
from tapi_agent.domain.override import Override
from tapi_agent.domain.quota import Period
from tapi_agent.ports.entitlements import HeldLicense, Licenses
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.services.licensing import LicenseView, Licensing
from tapi_agent.testing.entitlements import FakeQuotas, FakeWords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.domain.catalog import Catalog

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
TIERS = {**dict.fromkeys(LicenseMode, Tier.PROFESSIONAL), LicenseMode.UNLICENSED: Tier.BASIC}
ONE, TWO, THREE = CameraId("cam-1"), CameraId("cam-2"), CameraId("cam-3")
GLANCE = timedelta(milliseconds=50)
HEATMAP, NEAR_MISS, REPORTS = "analytics.heatmap", "analytics.near_miss", "llm.automated_reports"


@dataclass(kw_only=True)
class Machine:
    """Time that the test turns by hand: trusted and monotonic run together unless one is moved alone."""

    now_is: datetime = START
    seconds: float = 1000.0
    looks: int = 0

    def now(self) -> datetime:
        self.looks += 1
        return self.now_is

    def monotonic(self) -> float:
        return self.seconds

    def passes(self, by: timedelta) -> None:
        self.now_is += by
        self.seconds += by.total_seconds()


@dataclass(frozen=True, kw_only=True)
class View:
    evidence: Evidence | None
    standing: Standing
    tier: str | None


@dataclass(kw_only=True)
class Book:
    """Licenses as ``services.licensing`` keeps them: standings derived when something changes, looked up otherwise."""

    machine: Machine
    generation: int = 0
    words: dict[CameraId, Evidence] = field(default_factory=dict)
    registered: list[CameraId] = field(default_factory=list)
    contact: Contact = field(default_factory=lambda: Contact(attempted=True))
    views: dict[CameraId, View] = field(default_factory=dict)

    def cameras(self) -> Sequence[CameraId]:
        return self.registered

    def view(self, camera_id: CameraId) -> View:
        return self.views.get(camera_id) or self.derive(camera_id)

    def derive(self, camera_id: CameraId) -> View:
        word = self.words.get(camera_id) or self.words.get(TENANT)
        verdict = evaluate(word, now=self.machine.now_is, contact=self.contact)
        return View(evidence=word, standing=verdict, tier="file" if word else None)

    def settle(self) -> None:
        self.generation += 1
        self.views = {camera_id: self.derive(camera_id) for camera_id in self.registered}

    def hears(self, *words: Evidence) -> None:
        for word in words:
            camera_id = word.subject.camera_id
            self.words[camera_id] = word
            if camera_id != TENANT and camera_id not in self.registered:
                self.registered.append(camera_id)
        self.settle()


def word(camera_id: CameraId = TENANT, *packs: str, mode: LicenseMode = LicenseMode.BASE, **facts: object) -> Evidence:
    subject = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=camera_id)
    evidence = Evidence(subject=subject, mode=mode, packs=packs, verified_at=START)
    return replace(evidence, **facts)  # type: ignore[arg-type]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def book(machine: Machine) -> Book:
    return Book(machine=machine)


@pytest.fixture
def words() -> FakeWords:
    return FakeWords()


@pytest.fixture
def quotas() -> FakeQuotas:
    return FakeQuotas()


@pytest.fixture
def entitlements(catalog: Catalog, book: Book, machine: Machine, words: FakeWords, quotas: FakeQuotas) -> Entitlements:
    return Entitlements(
        catalog=catalog,
        licensing=book,
        words=words,
        quotas=quotas,
        clock=machine,
        monotonic=machine.monotonic,
        tiers=TIERS,
    )


def test_the_licensing_service_is_what_the_port_asks_for() -> None:
    def public(port: type) -> set[str]:
        return {name for name in vars(port) if not name.startswith("_")}

    assert public(Licenses) == {"generation", "cameras", "view"}
    assert all(hasattr(Licensing, name) for name in public(Licenses))
    assert public(HeldLicense) <= {field.name for field in fields(LicenseView)}


def test_before_any_word_everything_is_denied_but_the_privacy_mask(entitlements: Entitlements) -> None:
    decisions = [answer.decision for answer in entitlements.table()]
    assert {decision.feature for decision in decisions if decision.allowed} == {"analytics.privacy_mask"}
    assert {decision.license_reason for decision in decisions} == {Reason.NO_LICENSE}


def test_a_cameras_pack_is_its_own(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(ONE, "Advanced Analytics"), word(TWO))
    assert entitlements.check(NEAR_MISS, ONE).reason is R.LICENSED
    assert entitlements.check(NEAR_MISS, TWO).packs == ("advanced_analytics",)
    assert not entitlements.check(NEAR_MISS).allowed, "nor does it serve all of them"
    assert entitlements.check(HEATMAP).allowed, "but what each has, all have"


def test_a_pack_of_the_tenant_serves_every_camera_while_that_license_lasts(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    end = START + timedelta(hours=1)
    book.hears(word(TENANT, "intelligence", "advanced_analytics", valid_until=end), word(ONE))
    assert entitlements.check(REPORTS, ONE).allowed
    assert not entitlements.check(NEAR_MISS, ONE).allowed, "a camera that has its own word has its own packs"
    machine.passes(timedelta(hours=1) + timedelta(days=14))
    book.hears(word(ONE, verified_at=machine.now_is))
    assert entitlements.check(REPORTS, ONE).reason is R.PACK_REQUIRED
    assert entitlements.check(HEATMAP, ONE).allowed


def test_a_camera_without_a_word_of_its_own_uses_the_tenants(entitlements: Entitlements, book: Book) -> None:
    book.registered.append(ONE)
    book.hears(word(TENANT, "advanced_analytics", cameras_allowed=1))
    assert entitlements.check(NEAR_MISS, ONE).reason is R.LICENSED


@pytest.mark.parametrize(
    ("tenant", "reason"),
    [
        (None, R.CAMERA_UNKNOWN),
        (word(), R.LICENSED),
        (word(mode=LicenseMode.TRIAL), R.TRIAL),
        (word(cameras_allowed=5), R.CAMERA_UNKNOWN),
        (word(status=LicenseStatus.PAST_DUE), R.CAMERA_UNKNOWN),
        (word(denied=Reason.REVOKED), R.CAMERA_UNKNOWN),
    ],
    ids=["no word", "unlimited", "unlimited trial", "limited", "in grace takes no new cameras", "revoked"],
)
def test_a_camera_nobody_registered(entitlements: Entitlements, book: Book, tenant: Evidence | None, reason: R) -> None:
    book.hears(word(ONE), *([tenant] if tenant else []))
    assert entitlements.check(HEATMAP, CameraId("never-seen")).reason is reason
    assert entitlements.check("analytics.privacy_mask", CameraId("never-seen")).allowed
    assert book.cameras() == [ONE], "asking registers nothing"


def test_a_camera_is_known_from_its_registration_on(entitlements: Entitlements, book: Book) -> None:
    assert entitlements.check(HEATMAP, ONE).reason is R.CAMERA_UNKNOWN
    book.registered.append(ONE)
    book.settle()
    assert entitlements.check(HEATMAP, ONE).reason is R.EXPIRED
    book.hears(word(ONE))
    assert entitlements.check(HEATMAP, ONE).reason is R.LICENSED


def test_the_tenant_without_a_word_stands_as_its_worst_camera(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(ONE, "intelligence"), word(TWO, mode=LicenseMode.TRIAL))
    assert entitlements.check(HEATMAP).reason is R.TRIAL
    assert entitlements.check("processor.line_zone_manager").reason is R.MODE_TOO_LOW
    assert entitlements.check(REPORTS).allowed, "what was sold to the tenant needs one camera's word only"
    book.hears(word(THREE, denied=Reason.SUSPENDED))
    assert (entitlements.check(HEATMAP).reason, entitlements.check(HEATMAP).license_reason) == (
        R.EXPIRED,
        Reason.SUSPENDED,
    )


def test_a_camera_too_many_takes_nothing_from_the_tenant(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(ONE), word(TWO, denied=Reason.CAMERA_LIMIT))
    assert entitlements.check(HEATMAP, TWO).reason is R.CAMERA_LIMIT
    assert entitlements.check(HEATMAP).reason is R.LICENSED
    book.hears(word(ONE, denied=Reason.CAMERA_LIMIT))
    nobody_left = entitlements.check(HEATMAP)
    assert (nobody_left.reason, nobody_left.license_reason) == (R.EXPIRED, Reason.NO_LICENSE)


def test_a_new_word_changes_the_answer_at_once(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(ONE))
    first = entitlements.answer(HEATMAP, ONE)
    book.hears(word(ONE, denied=Reason.REVOKED))
    second = entitlements.answer(HEATMAP, ONE)
    assert (first.decision.allowed, second.decision.allowed) == (True, False)
    assert (first.generation, second.generation) == (1, 2)
    assert entitlements.generation == 2


@pytest.mark.parametrize(
    ("after", "state", "reason"),
    [
        (timedelta(minutes=59, seconds=59), LicenseState.VALID, R.LICENSED),
        (timedelta(hours=1), LicenseState.OFFLINE, R.LICENSED),
        (timedelta(hours=24), LicenseState.GRACE, R.GRACE),
        (timedelta(days=8), LicenseState.EXPIRED, R.EXPIRED),
        (timedelta(days=400), LicenseState.EXPIRED, R.EXPIRED),
    ],
    ids=str,
)
@pytest.mark.parametrize("asked_before", [True, False], ids=["asked before", "not asked before"])
def test_no_permission_outlives_its_deadline_even_if_licensing_is_late(  # noqa: PLR0913 - a table
    entitlements: Entitlements,
    book: Book,
    machine: Machine,
    after: timedelta,
    state: LicenseState,
    reason: R,
    *,
    asked_before: bool,
) -> None:
    """The book is not settled again: a device that has slept is asked before its licensing loop has woken up."""
    book.hears(word(ONE))
    if asked_before:
        assert entitlements.check(HEATMAP, ONE).reason is R.LICENSED
    machine.passes(after)
    decision = entitlements.check(HEATMAP, ONE)
    assert (decision.state, decision.reason) == (state, reason)


def test_what_was_denied_while_licensing_was_late_is_given_back_when_it_finds_nothing_changed(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    """The service answers, only not with a new word (a denial must be confirmed): state and generation stay."""
    book.hears(word(ONE))
    machine.passes(timedelta(days=9))
    assert entitlements.check(HEATMAP, ONE).reason is R.EXPIRED
    book.views = {ONE: book.derive(ONE)}
    assert book.view(ONE).standing.state is LicenseState.VALID
    assert entitlements.check(HEATMAP, ONE).reason is R.LICENSED


def test_a_deadline_sooner_than_the_next_glance_is_kept_to_the_moment(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    book.hears(word(ONE))
    machine.passes(timedelta(hours=24, milliseconds=-10))
    book.settle()
    assert entitlements.check(HEATMAP, ONE).reason is R.LICENSED
    machine.passes(timedelta(milliseconds=10))
    assert entitlements.check(HEATMAP, ONE).reason is R.GRACE


def test_a_jump_of_trusted_time_is_noticed_within_a_glance(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    book.hears(word(ONE))
    entitlements.check(HEATMAP, ONE)
    machine.now_is += timedelta(days=9)
    machine.seconds += 0.05
    assert entitlements.check(HEATMAP, ONE).reason is R.EXPIRED


def test_a_clock_set_back_by_the_authority_gives_back_what_its_error_took(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    book.hears(word(ONE))
    machine.passes(timedelta(days=9))
    assert not entitlements.check(HEATMAP, ONE).allowed
    machine.now_is = START + timedelta(minutes=1)
    machine.seconds += 0.05
    assert entitlements.check(HEATMAP, ONE).allowed


def test_a_thousand_checks_read_the_trusted_clock_once(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    book.hears(word(ONE))
    answers = [entitlements.check(HEATMAP, ONE) for _ in range(1000)]
    assert machine.looks == 1
    assert all(answer is answers[0] for answer in answers), "one shared decision"


def test_cameras_with_equal_evidence_share_their_decisions(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(ONE, "intelligence"), word(TWO, "Intelligence"), word(THREE))
    assert entitlements.check(REPORTS, ONE) is entitlements.check(REPORTS, TWO)
    assert entitlements.check(REPORTS, ONE) is not entitlements.check(REPORTS, THREE)
    assert entitlements.check(HEATMAP, ONE) is entitlements.check(HEATMAP, THREE), "no pack of theirs has to do with it"


def test_questions_that_callers_make_up_leave_no_trace(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(), word(ONE))
    for number in range(100):
        assert entitlements.check(f"made.up_{number}", ONE).reason is R.FEATURE_UNKNOWN
        assert entitlements.check(HEATMAP, CameraId(f"made-up-{number}")).allowed
    table = entitlements._table
    assert set(table.places) == {ONE}
    assert {key for row in table.classes.values() for key in row} == {HEATMAP}


def test_the_freshness_of_the_evidence_is_told(entitlements: Entitlements, book: Book, machine: Machine) -> None:
    book.hears(word(ONE))
    fresh = entitlements.answer(HEATMAP, ONE).freshness
    assert (fresh.verified_at, fresh.tier, fresh.stale) == (START, "file", False)
    machine.passes(timedelta(hours=2))
    book.contact = Contact(attempted=True, lost=True)
    book.settle()
    assert entitlements.answer(HEATMAP, ONE).freshness.stale


def test_a_bypassed_check_covers_the_tenant_and_unknown_cameras(
    entitlements: Entitlements, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = Standing(state=LicenseState.VALID, reason=Reason.OK, flags=frozenset({Flag.BYPASSED}))
    monkeypatch.setattr(book, "derive", lambda _: View(evidence=None, standing=standing, tier=None))
    assert all(answer.decision.allowed for answer in entitlements.table())
    assert all(answer.decision.allowed for answer in entitlements.table(CameraId("any")))


def test_a_table_has_every_feature_of_the_catalog_once(
    entitlements: Entitlements, book: Book, catalog: Catalog
) -> None:
    book.hears(word(ONE))
    assert [answer.decision.feature for answer in entitlements.table(ONE)] == list(catalog.features)


def test_unknown_packs_are_reported(entitlements: Entitlements, book: Book) -> None:
    book.hears(word(TENANT, "Airports"), word(ONE, "base", "Teleportation"))
    assert entitlements.unknown_packs() == {"Airports", "Teleportation"}
    assert entitlements.check(HEATMAP, ONE).allowed, "an unknown pack takes nothing away"


def test_what_somebody_holds_decides_as_a_check_would(
    entitlements: Entitlements, book: Book, machine: Machine, catalog: Catalog
) -> None:
    book.hears(word(ONE, "advanced_analytics"), word(TWO, mode=LicenseMode.TRIAL))
    for after in (timedelta(0), timedelta(hours=25)):
        machine.passes(after)
        for camera in (TENANT, ONE, TWO, CameraId("never-seen")):
            holder = entitlements.holder(camera)
            assert entitlements.decisions(holder) == [answer.decision for answer in entitlements.table(camera)]
            assert len(entitlements.decisions(holder)) == len(catalog.features)


def test_what_somebody_holds_is_told_with_its_end(entitlements: Entitlements, book: Book, machine: Machine) -> None:
    book.hears(word(ONE))
    assert entitlements.holder(ONE).until == START + timedelta(hours=1)
    machine.passes(timedelta(hours=2))
    assert entitlements.holder(ONE).until > machine.now_is


def override(feature: str, *, enabled: bool, until: datetime | None = None) -> Override:
    return Override(feature=feature, enabled=enabled, asked_at=START, valid_until=until)


def test_a_word_on_a_feature_counts_once_the_rules_are_read_again(
    entitlements: Entitlements, book: Book, words: FakeWords
) -> None:
    book.hears(word(ONE))
    assert entitlements.check(HEATMAP, ONE).allowed
    before = entitlements.generation
    words.words[HEATMAP] = override(HEATMAP, enabled=False)
    entitlements.start_over()
    assert entitlements.check(HEATMAP, ONE).reason is R.NOT_ENTITLED
    assert entitlements.generation == before + 1


def test_a_grant_ends_when_it_says_so(
    entitlements: Entitlements, book: Book, words: FakeWords, machine: Machine
) -> None:
    book.hears(word(ONE))
    words.words[REPORTS] = override(REPORTS, enabled=True, until=START + timedelta(minutes=10))
    words.words[HEATMAP] = override(HEATMAP, enabled=False, until=START + timedelta(minutes=10))
    entitlements.start_over()
    assert entitlements.check(REPORTS, ONE).allowed
    machine.passes(timedelta(minutes=10))
    assert entitlements.check(REPORTS, ONE).reason is R.PACK_REQUIRED
    assert not entitlements.check(HEATMAP, ONE).allowed, "a denial is in force until another word comes"


def test_the_service_is_asked_about_what_somebody_asks_about(
    entitlements: Entitlements, book: Book, words: FakeWords
) -> None:
    book.hears(word(ONE))
    entitlements.check(HEATMAP, ONE)
    entitlements.check("made.up", ONE)
    assert words.asked == {HEATMAP}
    entitlements.decisions(entitlements.holder(ONE))
    assert words.asked == {HEATMAP}, "what is written down for reports is nobody's question"


def test_a_quota_is_looked_at_with_every_glance(
    entitlements: Entitlements, book: Book, quotas: FakeQuotas, machine: Machine
) -> None:
    book.hears(word(ONE, "intelligence"))
    assert entitlements.check(REPORTS, ONE).quota is None
    some = QuotaFigures(
        limit=Decimal(10), used=Decimal(9), remaining=Decimal(1), resets_at=START, soft=False, period=Period.MONTH
    )
    quotas.standing["llm_tokens"] = some
    assert entitlements.check(REPORTS, ONE).quota is None, "figures are 50 ms old at most"
    machine.passes(GLANCE)
    assert entitlements.check(REPORTS, ONE).quota is some
    assert entitlements.check(REPORTS, ONE) is entitlements.check(REPORTS, ONE)
    quotas.standing["llm_tokens"] = replace(some, used=Decimal(10), remaining=Decimal(0))
    machine.passes(GLANCE)
    assert entitlements.check(REPORTS, ONE).reason is R.QUOTA_EXCEEDED
    assert entitlements.spent() == {"llm_tokens"}
    quotas.standing["llm_tokens"] = replace(quotas.standing["llm_tokens"], soft=True)
    machine.passes(GLANCE)
    assert entitlements.check(REPORTS, ONE).allowed
    assert entitlements.spent() == frozenset()


def test_a_plugin_that_came_later_is_part_of_every_answer(
    entitlements: Entitlements, book: Book, catalog: Catalog
) -> None:
    book.hears(word(ONE, "Warehouse"))
    assert entitlements.check("cv_models.forklift", ONE).reason is R.FEATURE_UNKNOWN
    assert entitlements.unknown_packs() == {"Warehouse"}
    forklift = Feature(key="cv_models.forklift")
    pack = GrowthPack(slug="warehouse", title="Warehouse", features=frozenset({forklift.key}))
    entitlements.adopt(catalog.extended(Declaration(source="more", features=(forklift,), packs=(pack,))))
    assert entitlements.check("cv_models.forklift", ONE).source_pack == "warehouse"
    assert entitlements.unknown_packs() == frozenset()


def test_cameras_that_hold_the_same_share_their_decisions_whenever_they_were_heard(
    entitlements: Entitlements, book: Book, machine: Machine
) -> None:
    book.hears(word(ONE))
    machine.passes(timedelta(seconds=5))
    book.hears(word(TWO, verified_at=machine.now_is), word(THREE, "advanced_analytics"))
    assert entitlements.check(HEATMAP, ONE) is entitlements.check(HEATMAP, TWO)
    assert entitlements.check(NEAR_MISS, THREE) is not entitlements.check(NEAR_MISS, ONE)
    one, two = (entitlements.answer(HEATMAP, camera) for camera in (ONE, TWO))
    assert (two.freshness.verified_at, two.following) != (one.freshness.verified_at, one.following)
