"""Orders of the admin: what they change, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from tests.integration.sandbox.conftest import event_text, seal

from tapi_agent.domain.errors import RejectedError

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Service


def quota_left(service: Service, feature: str) -> dict[str, Any]:
    category, _, name = feature.partition(".")
    document = {"tenant_id": service.tenant, "feature_category": category, "feature_name": name}
    return dict(service.call("POST", "/api/v1/entitlements/check", document).json)


def test_a_quota_counts_what_was_billed_this_month(service: Service) -> None:
    this_month = service.validate().json["server_time"]
    service.admin.quota(service.tenant, "outputs.api", meter="api_call", monthly_limit=5)
    assert quota_left(service, "outputs.api")["quota_remaining"] == 5
    for moment, quantity in ((this_month, "2.5"), ("2001-01-01T00:00:00Z", "100")):
        text = event_text(str(uuid4()), quantity=quantity, tenant_id=service.tenant, event_time=moment)
        service.send(seal([text]))
    assert quota_left(service, "outputs.api")["quota_remaining"] == 3
    service.send(seal([event_text(str(uuid4()), quantity="9", tenant_id=service.tenant, event_time=this_month)]))
    assert quota_left(service, "outputs.api") == {
        "is_enabled": True,
        "quota_remaining": 0,
        "valid_until": "2199-01-01T00:00:00Z",
    }
    service.admin.quota(service.tenant, "outputs.api", meter="api_call", monthly_limit=-1)
    assert quota_left(service, "outputs.api")["quota_remaining"] == -1


@pytest.mark.parametrize(
    ("order", "terms", "code"),
    [
        pytest.param("subscribe", {"mode": "gold"}, "400", id="unknown-mode"),
        pytest.param("subscribe", {"status": "happy"}, "400", id="unknown-status"),
        pytest.param("subscribe", {"valid_until": "tomorrow"}, "400", id="no-date"),
        pytest.param("subscribe", {"cameras_allowed": -1}, "400", id="negative-places"),
        pytest.param("subscribe", {"packs": "integration"}, "400", id="packs-not-a-list"),
        pytest.param("set_status", {"status": "active", "camera_id": "cam-x"}, "404", id="nothing-sold"),
        pytest.param("packs", {"enable": ["x"], "camera_id": "cam-x"}, "404", id="packs-of-nothing"),
        pytest.param("quota", {"feature": "no-dot", "meter": "m", "monthly_limit": 1}, "400", id="no-feature"),
        pytest.param("quota", {"feature": "a.b", "meter": "m", "monthly_limit": -2}, "400", id="no-limit"),
        pytest.param("feature", {"feature": "a.b", "is_enabled": "yes"}, "400", id="not-a-bool"),
        pytest.param("remove_camera", {"camera_id": ""}, "400", id="no-camera"),
    ],
)
def test_a_senseless_order_changes_nothing(service: Service, order: str, terms: dict[str, Any], code: str) -> None:
    before = service.validate().json["sequence"]
    with pytest.raises(RejectedError) as refused:
        getattr(service.admin, order)(service.tenant, **terms)
    assert refused.value.code == code
    assert service.validate().json["sequence"] == before


@pytest.mark.parametrize("order", ["subscribe", "suspend", "packs"])
def test_an_unknown_tenant_is_404(service: Service, order: str) -> None:
    with pytest.raises(RejectedError, match="there is no tenant 'nobody'"):
        getattr(service.admin, order)("nobody")


def test_an_unknown_order_is_404_and_names_the_known(service: Service) -> None:
    reply = service.call("POST", "/admin/explode", {}, Authorization="Bearer sandbox-admin")
    assert (reply.status, b"subscriptions" in reply.body) == (404, True)


def test_an_order_is_at_most_one_mebibyte(service: Service) -> None:
    reply = service.call("POST", "/admin/faults", b" " * (1024 * 1024 + 1), Authorization="Bearer sandbox-admin")
    assert reply.status == 413


def test_the_ledger_comes_in_pages(service: Service) -> None:
    for _ in range(6):
        service.send(seal([event_text(str(uuid4())) for _ in range(1000)]))
    lines = service.billed()
    assert len(lines) == 6000
    assert [line["line"] for line in lines] == sorted({line["line"] for line in lines})
    reply = service.call("GET", "/admin/ledger?after=x", Authorization="Bearer sandbox-admin")
    assert (reply.status, b"after" in reply.body) == (400, True)


def test_totals_over_all_tenants_are_literals(service: Service) -> None:
    service.send(
        seal([event_text(str(uuid4()), quantity=q, tenant_id=service.tenant) for q in ("9007199254740993", "0.1")])
    )
    (row,) = [one for one in service.admin.totals() if one["tenant_id"] == service.tenant]
    assert row == {"tenant_id": service.tenant, "event_type": "api_call", "count": 2, "quantity": "9007199254740993.1"}
