"""What must hold for every license, every catalog and every question."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from tapi_agent.domain import entitlement
from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.domain.decision import Decision, DecisionReason
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.evaluation import evaluate
from tapi_agent.domain.features import Feature, GrowthPack, OnExpired, Scope, Tier
from tapi_agent.domain.holder import Holder, common, holder_of
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import (
    Contact,
    Evidence,
    LicenseMode,
    LicenseState,
    LicenseStatus,
    Reason,
    Standing,
    Subject,
    Transition,
)
from tapi_agent.domain.override import Override
from tapi_agent.plugin import base_catalog
from tapi_agent.services.entitlements import Entitlements
from tapi_agent.testing.entitlements import FakeLicenses, FakeQuotas, FakeWords

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
CATALOG = Catalog().extended(
    Declaration(
        source="base-catalog",
        first_party=True,
        features=tuple(base_catalog.register_features()),
        packs=tuple(base_catalog.register_packs()),
    )
)
KEYS = sorted(CATALOG.features)
NAMES = [*CATALOG.packs, *(pack.title for pack in CATALOG.packs.values()), "Airports", "", "base ", "BASE"]


def decide(key: str, catalog: Catalog, who: Holder, words: dict[str, bool] | None = None) -> Decision:
    return entitlement.decide(key, entitlement.Rulebook(catalog=catalog, overrides=words or {}), who)


tiers = st.dictionaries(st.sampled_from(LicenseMode), st.sampled_from(Tier))
times = st.none() | st.integers(-400, 400).map(lambda days: NOW + timedelta(days=days))
denials = st.none() | st.sampled_from([Reason.REVOKED, Reason.SUSPENDED, Reason.UNLICENSED, Reason.NOT_VALID])
contacts = st.builds(Contact, lost=st.booleans(), attempted=st.booleans(), air_gapped=st.booleans())
evidence = st.builds(
    Evidence,
    subject=st.just(Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("cam"))),
    mode=st.sampled_from(LicenseMode),
    status=st.sampled_from(LicenseStatus),
    verified_at=st.integers(0, 60).map(lambda days: NOW - timedelta(days=days)),
    not_before=times,
    valid_until=times,
    packs=st.lists(st.sampled_from(NAMES), max_size=4).map(tuple),
    denied=denials,
)


@st.composite
def holders(draw: st.DrawFn) -> Holder:
    """A holder as the service makes it: of real evidence, by the real evaluation."""
    word = draw(evidence | st.none())
    standing = evaluate(word, now=NOW, contact=draw(contacts))
    return holder_of(word, standing, catalog=CATALOG, tiers=draw(tiers))


standings = st.builds(
    Standing,
    state=st.sampled_from(LicenseState),
    reason=st.sampled_from(Reason),
    next_transition=st.none()
    | st.builds(Transition, at=st.just(NOW), to=st.sampled_from(LicenseState), reason=st.sampled_from(Reason)),
)
anyone = st.builds(
    Holder,
    standing=standings,
    mode=st.none() | st.sampled_from(LicenseMode),
    tier=st.none() | st.sampled_from(Tier),
    packs=st.frozensets(st.sampled_from(sorted(CATALOG.packs))),
    known=st.booleans(),
)


@given(key=st.sampled_from(KEYS) | st.text(), holder=anyone)
def test_every_question_has_an_answer_that_explains_itself(key: str, holder: Holder) -> None:
    decision = decide(key, CATALOG, holder)
    assert decision.feature == key
    assert decision.allowed == decision.reason.allows
    assert decision.allowed != bool(decision.fix), "a denial says what to do, a permission needs no advice"
    assert bool(decision.packs) == (decision.reason is DecisionReason.PACK_REQUIRED)
    assert decision.source_pack is None or (decision.allowed and decision.source_pack in holder.packs)
    if decision.state in {LicenseState.GRACE, LicenseState.EXPIRED} and decision.allowed:
        assert decision.warning
    assert (decision.state, decision.license_reason) == (holder.standing.state, holder.standing.reason)


@given(contact=contacts, known=st.booleans(), tiers=tiers)
def test_without_evidence_only_what_is_kept_is_permitted(
    contact: Contact, tiers: dict[LicenseMode, Tier], *, known: bool
) -> None:
    standing = evaluate(None, now=NOW, contact=contact)
    nobody = holder_of(None, standing, catalog=CATALOG, tiers=tiers)
    allowed = {key for key in KEYS if decide(key, CATALOG, replace(nobody, known=known)).allowed}
    assert allowed == {"analytics.privacy_mask"}


@given(holder=holders())
def test_an_expired_license_permits_what_is_kept_and_an_unlicensed_device_its_basic_components(holder: Holder) -> None:
    assume(holder.standing.state is LicenseState.EXPIRED)
    for key in KEYS:
        decision, feature = decide(key, CATALOG, holder), CATALOG.features[key]
        if decision.allowed and feature.on_expired is not OnExpired.KEEP:
            assert holder.mode is LicenseMode.UNLICENSED
            assert holder.standing.reason is Reason.UNLICENSED
            assert feature.min_tier is not None
            assert feature.requires_pack is feature.min_mode is None


@given(holder=holders(), key=st.sampled_from(KEYS))
def test_a_sold_feature_needs_a_pack_that_the_evidence_names_or_its_mode_includes(holder: Holder, key: str) -> None:
    feature = CATALOG.features[key]
    assume(feature.min_tier is None and feature.on_expired is OnExpired.STOP)
    if decide(key, CATALOG, holder).allowed:
        assert not holder.packs.isdisjoint(CATALOG.offers[key])


@given(holder=holders(), more=st.sampled_from(sorted(CATALOG.packs)), key=st.sampled_from(KEYS))
def test_another_pack_never_takes_anything_away(holder: Holder, more: str, key: str) -> None:
    with_more = replace(holder, packs=holder.packs | {more})
    assert decide(key, CATALOG, with_more).allowed >= decide(key, CATALOG, holder).allowed


@given(holder=holders(), tenant=holders(), key=st.sampled_from(KEYS))
def test_from_the_tenant_a_camera_gets_only_what_was_sold_to_the_tenant(
    holder: Holder, tenant: Holder, key: str
) -> None:
    alone, shared = decide(key, CATALOG, holder), decide(key, CATALOG, holder.sharing(tenant, CATALOG))
    assert shared.allowed >= alone.allowed
    if shared.allowed and not alone.allowed:
        scopes = {CATALOG.packs[slug].scope for slug in CATALOG.offers[key] if slug in tenant.packs}
        assert scopes == {Scope.TENANT}
        assert tenant.in_force


@given(cameras=st.lists(holders(), min_size=1, max_size=4), key=st.sampled_from(KEYS))
def test_what_stands_for_all_cameras_has_nothing_that_one_of_them_lacks(cameras: Sequence[Holder], key: str) -> None:
    """One camera's pack allows neither another camera nor the tenant; what was sold to the tenant is the exception."""
    together = common(cameras, CATALOG)
    assert all(together.standing.state.severity >= camera.standing.state.severity for camera in cameras)
    assert all(together.until <= camera.until for camera in cameras)
    offers = CATALOG.offers[key]
    if any(CATALOG.packs[slug].scope is Scope.TENANT for slug in offers):
        return
    missing = [camera for camera in cameras if offers and camera.packs.isdisjoint(offers)]
    if missing and CATALOG.features[key].on_expired is OnExpired.STOP:
        assert not decide(key, CATALOG, together).allowed


features = st.builds(
    Feature,
    key=st.sampled_from([*KEYS, "mine.one", "mine.two", "mine.three"]),
    on_expired=st.sampled_from(OnExpired),
    min_tier=st.none() | st.sampled_from(Tier),
    min_mode=st.none() | st.sampled_from(LicenseMode),
    requires_pack=st.none() | st.sampled_from(["base", "intelligence", "mine", "nowhere"]),
)
repeats = st.sampled_from([CATALOG.features[key] for key in KEYS])
packs = st.builds(
    GrowthPack,
    slug=st.sampled_from(["mine", "free", "base", "intelligence"]),
    title=st.sampled_from(["Mine", "Free", "Base", "Advanced Analytics"]),
    scope=st.sampled_from(Scope),
    features=st.frozensets(st.sampled_from(["mine.one", "mine.two", "llm.automated_reports", "outputs.sms"])),
)


@given(
    declared=st.lists(features | repeats, max_size=4).map(tuple),
    sold=st.lists(packs, max_size=3).map(tuple),
    word=evidence,
    extra=st.sampled_from(["Mine", "Free", "Base", "base"]),
    contact=contacts,
)
def test_no_plugin_turns_a_denial_into_a_permission(
    declared: tuple[Feature, ...], sold: tuple[GrowthPack, ...], word: Evidence, extra: str, contact: Contact
) -> None:
    """Whatever a plugin declares, decisions on features that were there before are the same, for every license."""
    try:
        grown = CATALOG.extended(Declaration(source="third-party", features=declared, packs=sold))
    except RejectedError:
        return
    bought = Evidence(
        subject=word.subject,
        mode=word.mode,
        verified_at=word.verified_at,
        packs=(*word.packs, extra),
        denied=word.denied,
    )
    standing = evaluate(bought, now=NOW, contact=contact)
    every_tier = dict.fromkeys(LicenseMode, Tier.PROFESSIONAL)
    before = holder_of(bought, standing, catalog=CATALOG, tiers=every_tier)
    after = holder_of(bought, standing, catalog=grown, tiers=every_tier)
    for key in KEYS:
        assert decide(key, grown, after) == decide(key, CATALOG, before)


@given(name=st.text())
def test_any_text_may_be_a_pack_name_and_an_unknown_one_grants_nothing(name: str) -> None:
    known, unknown = CATALOG.resolve([name])
    assert len(known) + len(unknown) == 1
    assert unknown <= {name}
    assert known <= CATALOG.packs.keys()


overrides = st.dictionaries(st.sampled_from(KEYS), st.booleans(), max_size=6)


@given(holder=holders(), words=overrides, key=st.sampled_from(KEYS))
def test_a_word_of_the_service_grants_nothing_that_is_not_sold_to_tenants(
    holder: Holder, words: dict[str, bool], key: str
) -> None:
    told, plain = decide(key, CATALOG, holder, words), decide(key, CATALOG, holder)
    if key not in words:
        assert told == plain
    elif told.allowed and not plain.allowed:
        assert words[key]
        assert told.source_pack is not None
        assert CATALOG.packs[told.source_pack].scope is Scope.TENANT
        assert holder.standing.state is not LicenseState.EXPIRED
    elif plain.allowed and not told.allowed:
        assert not words[key]
        assert CATALOG.features[key].on_expired is OnExpired.STOP


@given(one=holders(), packs=st.frozensets(st.sampled_from(NAMES)), words=overrides, key=st.sampled_from(KEYS))
def test_one_cameras_paid_pack_never_allows_another(
    one: Holder, packs: frozenset[str], words: dict[str, bool], key: str
) -> None:
    """Two cameras on one tenant without a word of its own: whatever the first is sold, the second's answers stay."""
    clock = Fixed()
    answers = []
    for sold in ((), tuple(packs)):
        book = FakeLicenses(tenant=SUBJECT, clock=clock)
        book.hears("paying", mode=one.mode or LicenseMode.BASE, packs=sold)
        book.hears("other", mode=LicenseMode.BASE)
        service = Entitlements(
            catalog=CATALOG,
            licensing=book,
            words=FakeWords(words={key: Override(feature=key, enabled=on, asked_at=NOW) for key, on in words.items()}),
            quotas=FakeQuotas(),
            clock=clock,
            monotonic=lambda: 0.0,
            tiers=dict.fromkeys(LicenseMode, Tier.PROFESSIONAL),
        )
        answers.append(service.check(key, CameraId("other")))
    assert answers[0] == answers[1]


SUBJECT = Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId(""))


class Fixed:
    """Trusted time that stands still."""

    def now(self) -> datetime:
        return NOW
