"""Who holds what: the report for all cameras at once says of each what validate says of it alone."""

from __future__ import annotations

import sqlite3
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.license import LicenseMode
from tapi_agent.sandbox import subscriptions
from tapi_agent.sandbox.subscriptions import TENANT_ITSELF, Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

CAMERAS = ["delta", "alpha", "bravo", "charlie"]
ORDERS = st.one_of(
    st.tuples(st.just("validate"), st.sampled_from(CAMERAS)),
    st.tuples(st.just("remove"), st.sampled_from(CAMERAS)),
    st.tuples(st.just("own"), st.sampled_from(CAMERAS)),
    st.tuples(st.just("allow"), st.none() | st.integers(0, 3)),
)


def ledger() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    for script in ("schema.sql", "leases.sql"):
        db.executescript(files("tapi_agent.sandbox").joinpath(script).read_text())
    for tenant in ("t", "neighbor"):
        subscriptions.add_tenant(db, tenant, f"key of {tenant}")
    return db


def carry_out(db: sqlite3.Connection, order: str, subject: str | int | None) -> None:
    match order:
        case "validate":
            subscriptions.register(db, "neighbor", str(subject))
            subscriptions.register(db, "t", str(subject))
        case "remove":
            subscriptions.remove_camera(db, "t", str(subject))
        case "own":
            subscriptions.subscribe(db, "t", str(subject), Subscription(mode=LicenseMode.TRIAL))
        case _:
            allowed = Subscription(mode=LicenseMode.BASE, cameras_allowed=subject)
            subscriptions.subscribe(db, "t", TENANT_ITSELF, allowed)
            subscriptions.subscribe(db, "neighbor", TENANT_ITSELF, Subscription(mode=LicenseMode.BASE))


@given(st.lists(ORDERS, max_size=20))
def test_all_at_once_is_the_same_as_one_by_one(orders: Sequence[tuple[str, str | int | None]]) -> None:
    db = ledger()
    for order, subject in orders:
        carry_out(db, order, subject)
    held = subscriptions.licenses(db, "t")
    assert list(held) == sorted(held)
    assert held == {one: subscriptions.license_of(db, "t", one) for one in held}
    for absent in {TENANT_ITSELF, *CAMERAS} - held.keys():
        assert subscriptions.license_of(db, "t", absent).mode is LicenseMode.UNLICENSED


@pytest.mark.parametrize("places", [0, 1, 2, 3])
def test_places_go_by_arrival_within_the_tenant(places: int) -> None:
    db = ledger()
    for allowed, validated in ((None, CAMERAS[:3]), (places, CAMERAS[3:])):
        carry_out(db, "allow", allowed)
        for camera in validated:
            carry_out(db, "validate", camera)
    licensed = [one for one in CAMERAS if subscriptions.license_of(db, "t", one).mode is LicenseMode.BASE]
    assert licensed == CAMERAS[:places]
    carry_out(db, "remove", CAMERAS[0])
    assert subscriptions.license_of(db, "t", CAMERAS[1]).mode is (
        LicenseMode.BASE if places else LicenseMode.UNLICENSED
    )


def test_no_question_about_a_camera_walks_through_a_table() -> None:
    db, asked = ledger(), []
    carry_out(db, "allow", 3)
    db.set_trace_callback(asked.append)
    carry_out(db, "validate", "alpha")
    subscriptions.license_of(db, "t", "alpha")
    subscriptions.licenses(db, "t")
    db.set_trace_callback(None)
    plans = [row["detail"] for query in asked for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
    assert len(plans) > 10
    assert [plan for plan in plans if "SCAN" in plan.replace("SCAN CONSTANT ROW", "") or "B-TREE" in plan] == []
