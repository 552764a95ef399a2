"""The contract's calls on licenses, byte by byte where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.integration.sandbox.lease_tools import moment

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Service

FAR = "2199-01-01T00:00:00Z"
PAST = "2001-01-01T00:00:00Z"
CLASSIC_FIELDS = {"is_valid", "license_mode", "enabled_growth_packs", "valid_until", "cameras_allowed"}


def test_health_is_at_the_root_and_needs_no_key(service: Service) -> None:
    reply = service.call("GET", "/health", Authorization="")
    assert (reply.status, reply.json) == (200, {"status": "healthy"})
    assert service.call("GET", "/api/v1/health").status == 404


def test_validate_says_null_for_no_packs_and_unlimited_cameras(service: Service) -> None:
    reply = service.validate()
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert {name: reply.json[name] for name in CLASSIC_FIELDS} == {
        "is_valid": True,
        "license_mode": "base",
        "enabled_growth_packs": None,
        "valid_until": FAR,
        "cameras_allowed": None,
    }


def test_validate_carries_the_extension(service: Service) -> None:
    word = service.validate(nonce="0" * 32, fingerprint="f", agent_version="1", sequence=3, clock={"wall": "x"}).json
    assert set(word) - CLASSIC_FIELDS == {"status", "sequence", "server_time"}
    assert word["status"] == "active"
    assert word["server_time"].endswith("Z")


@pytest.mark.parametrize(
    "valid_until",
    [
        "2199-01-01T00:00:00.123456789+05:45",
        "2198-12-31T23:59:59-11:30",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
    ],
)
def test_valid_until_is_given_out_as_it_was_entered(service: Service, valid_until: str) -> None:
    service.admin.subscribe(service.tenant, valid_until=valid_until)
    word = service.validate().json
    assert (word["is_valid"], word["valid_until"]) == (True, valid_until)


@pytest.mark.parametrize(
    ("terms", "is_valid", "mode", "status"),
    [
        pytest.param({"mode": "trial"}, True, "trial", "active", id="trial"),
        pytest.param({"mode": "enterprise"}, True, "enterprise", "active", id="enterprise"),
        pytest.param({"mode": "unlicensed"}, False, "unlicensed", "active", id="unlicensed"),
        pytest.param({"mode": "expired"}, False, "expired", "active", id="expired-without-date"),
        pytest.param({"valid_until": PAST}, False, "expired", "expired", id="lapsed"),
        pytest.param({"status": "suspended"}, False, "base", "suspended", id="suspended"),
        pytest.param({"status": "revoked", "valid_until": PAST}, False, "base", "revoked", id="revoked-and-lapsed"),
        pytest.param({"status": "grace_period", "valid_until": PAST}, True, "base", "grace_period", id="in-grace"),
        pytest.param({"status": "past_due", "valid_until": FAR}, True, "base", "past_due", id="past-due"),
    ],
)
def test_word_on_a_subscription(
    service: Service, *, terms: dict[str, object], is_valid: bool, mode: str, status: str
) -> None:
    service.admin.subscribe(service.tenant, **terms)
    word = service.validate().json
    assert (word["is_valid"], word["license_mode"], word["status"]) == (is_valid, mode, status)


def test_unknown_cameras_take_the_free_places_in_order(service: Service) -> None:
    service.admin.subscribe(service.tenant, cameras_allowed=2)
    assert [service.validate(camera).json["is_valid"] for camera in ("a", "b", "c", "b", "")] == [
        True,
        True,
        False,
        True,
        True,
    ]
    refused = service.validate("c").json
    assert (refused["license_mode"], refused["enabled_growth_packs"], refused["cameras_allowed"]) == (
        "unlicensed",
        None,
        2,
    )
    service.admin.remove_camera(service.tenant, "a")
    assert service.validate("c").json["is_valid"]
    assert not service.validate("a").json["is_valid"]


def test_the_first_cameras_keep_their_places_when_there_are_fewer(service: Service) -> None:
    for camera in ("zulu", "alpha"):
        service.validate(camera)
    service.admin.subscribe(service.tenant, cameras_allowed=1)
    assert [service.validate(camera).json["is_valid"] for camera in ("zulu", "alpha")] == [True, False]


def test_a_camera_s_own_subscription_stands_above_the_tenant_s(service: Service) -> None:
    service.admin.subscribe(service.tenant, cameras_allowed=0)
    service.admin.subscribe(service.tenant, camera_id="cam-x", mode="enterprise", packs=["Advanced Analytics"])
    word = service.validate("cam-x").json
    assert (word["is_valid"], word["license_mode"], word["cameras_allowed"]) == (True, "enterprise", 0)
    assert word["enabled_growth_packs"] == ["Advanced Analytics"]
    service.admin.revoke(service.tenant, camera_id="cam-x")
    assert service.validate("cam-x").json["status"] == "revoked"
    assert service.validate("").json["is_valid"], "the tenant itself is not revoked"


def test_a_tenant_that_bought_nothing_is_unlicensed(service: Service) -> None:
    service.admin.add_tenant(f"{service.tenant}-new", "key-of-the-new-one")
    new = type(service)(process=service.process, tenant=f"{service.tenant}-new", key="key-of-the-new-one")
    word = new.validate().json
    assert (word["is_valid"], word["license_mode"], word["valid_until"]) == (False, "unlicensed", None)


def test_every_change_of_a_license_raises_the_sequence(service: Service) -> None:
    seen = [service.validate().json["sequence"]]
    for change in (
        lambda: service.admin.packs(service.tenant, enable=["integration"]),
        lambda: service.admin.suspend(service.tenant),
        lambda: service.admin.set_status(service.tenant, "active"),
        lambda: service.admin.remove_camera(service.tenant, "cam-01"),
    ):
        change()
        seen.append(service.validate().json["sequence"])
    assert seen == sorted(set(seen))
    assert service.validate().json["sequence"] == seen[-1], "asking changes nothing"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"{", "not a JSON object", id="cut-short"),
        pytest.param(b"[]", "not a JSON object", id="array"),
        pytest.param(b'{"a": NaN}', "NaN", id="nan"),
        pytest.param(b'{"a": 1, "a": 2}', "twice", id="name-twice"),
        pytest.param(b"\xff", "not a JSON object", id="not-utf-8"),
        pytest.param(b'{"tenant_id": "t", "device_id": "d"}', "camera_id", id="field-missing"),
        pytest.param(b'{"tenant_id": 5, "camera_id": "c", "device_id": "d"}', "tenant_id", id="wrong-type"),
        pytest.param(b'{"tenant_id": "\\ud800", "camera_id": "c", "device_id": "d"}', "tenant_id", id="lone-surrogate"),
        pytest.param(b'{"a": ' + b"[" * 100_000, "deep", id="nested-too-deeply"),
    ],
)
def test_a_bad_request_is_400_in_plain_text(service: Service, body: bytes, says: str) -> None:
    reply = service.call("POST", "/api/v1/licenses/validate", body)
    assert (reply.status, reply.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert says in reply.body.decode()


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic c2FuZGJveC1rZXk=", "Bearer sandbox-admin"]
)
def test_without_a_known_key_it_is_401(service: Service, authorization: str | None) -> None:
    connection = service.connection()
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/api/v1/licenses/validate", "/api/v1/nowhere"):
        connection.request("POST", path, body=b"{}", headers=headers)
        reply = connection.getresponse()
        assert (reply.status, reply.read()) == (401, b'{"error":"unknown API key","code":"unauthorized"}')
    connection.close()


@pytest.mark.parametrize("tenant", ["demo", "there-is-no-such-tenant"])
def test_licenses_of_others_are_403(service: Service, tenant: str) -> None:
    calls = [
        service.validate(tenant_id=tenant),
        service.call(
            "POST", "/api/v1/entitlements/check", {"tenant_id": tenant, "feature_category": "a", "feature_name": "b"}
        ),
        service.call("POST", "/api/v1/heartbeat", HEARTBEAT | {"tenant_id": tenant}),
        service.call("GET", f"/api/v1/billing/license/{tenant}"),
        service.call("GET", f"/api/v1/billing/growth-packs/{tenant}"),
    ]
    assert [call.status for call in calls] == [403] * 5
    assert {call.json["error"] for call in calls} == {"this API key belongs to another tenant"}


def test_an_unknown_path_is_404(service: Service) -> None:
    assert service.call("GET", "/api/v1/nowhere").status == 404


HEARTBEAT = {"device_id": "d", "active_camera_ids": ["cam-01"], "management_tier": "managed"}


def test_heartbeat(service: Service) -> None:
    reply = service.call("POST", "/api/v1/heartbeat", HEARTBEAT | {"tenant_id": service.tenant})
    assert reply.json == {"status": "ok", "next_heartbeat_in_seconds": 900}
    bad = service.call(
        "POST", "/api/v1/heartbeat", HEARTBEAT | {"tenant_id": service.tenant, "management_tier": "gold"}
    )
    assert bad.status == 400
    assert b"management_tier" in bad.body


@pytest.mark.parametrize(
    ("feature", "is_enabled"),
    [
        pytest.param("cv_models.car", True, id="part-of-every-license"),
        pytest.param("analytics.queue_counter", True, id="in-an-enabled-pack-named-by-title"),
        pytest.param("outputs.sms", False, id="in-a-pack-not-enabled"),
        pytest.param("storage.retention_36m", False, id="in-a-pack-of-a-plugin"),
    ],
)
def test_entitlement_by_packs(service: Service, *, feature: str, is_enabled: bool) -> None:
    service.admin.packs(service.tenant, enable=["Advanced Analytics"])
    assert check(service, feature) == {"is_enabled": is_enabled, "quota_remaining": -1, "valid_until": FAR}


@pytest.mark.parametrize(
    ("sold", "left"),
    [
        pytest.param({}, (50_000, 250_000), id="base"),
        pytest.param({"mode": "trial"}, (50_000, 50_000), id="trial"),
        pytest.param({"packs": ["Intelligence"]}, (50_000, 1_500_000), id="five seats of intelligence"),
    ],
)
def test_what_a_month_includes(service: Service, sold: dict[str, Any], left: tuple[int, int]) -> None:
    service.admin.subscribe(service.tenant, **sold)
    found = [check(service, one)["quota_remaining"] for one in ("outputs.api", "llm.automated_reports")]
    assert tuple(found) == left


def test_entitlement_by_overrule_and_not_without_a_license(service: Service) -> None:
    service.admin.feature(service.tenant, "outputs.sms", is_enabled=True)
    service.admin.feature(service.tenant, "cv_models.car", is_enabled=False)
    assert [check(service, one)["is_enabled"] for one in ("outputs.sms", "cv_models.car")] == [True, False]
    service.admin.feature(service.tenant, "outputs.sms", is_enabled=None)
    service.admin.feature(service.tenant, "cv_models.car", is_enabled=None)
    assert [check(service, one)["is_enabled"] for one in ("outputs.sms", "cv_models.car")] == [False, True]
    service.admin.suspend(service.tenant)
    assert not check(service, "cv_models.car")["is_enabled"]


def test_a_feature_that_no_product_has_is_404_until_it_is_sold_alone(service: Service) -> None:
    document = {"tenant_id": service.tenant, "feature_category": "no", "feature_name": "such_feature"}
    reply = service.call("POST", "/api/v1/entitlements/check", document)
    assert (reply.status, reply.body) == (404, b"no product has the feature 'no.such_feature'")
    service.admin.feature(service.tenant, "no.such_feature", is_enabled=True)
    assert check(service, "no.such_feature")["is_enabled"] is True


def test_a_feature_that_one_camera_holds_is_enabled_for_the_tenant_until_its_end(service: Service) -> None:
    until = "2101-01-01T00:00:00Z"
    service.admin.subscribe(service.tenant, camera_id="cam-1", packs=["retail"], valid_until=until)
    assert check(service, "cv_models.trolley") == {"is_enabled": True, "quota_remaining": -1, "valid_until": until}
    service.admin.subscribe(service.tenant, camera_id="cam-2", packs=["Airports"], valid_until=None)
    assert check(service, "cv_models.trolley")["valid_until"] is None
    service.admin.suspend(service.tenant, camera_id="cam-2")
    assert check(service, "cv_models.trolley")["valid_until"] == until
    service.admin.revoke(service.tenant, camera_id="cam-1")
    assert check(service, "cv_models.trolley") == {"is_enabled": False, "quota_remaining": -1, "valid_until": FAR}


def test_license_report(service: Service) -> None:
    service.admin.subscribe(service.tenant, mode="base", cameras_allowed=2, valid_until=FAR, packs=["integration"])
    service.admin.subscribe(service.tenant, camera_id="own", mode="trial", valid_until=PAST)
    service.validate("placed")
    report = service.call("GET", f"/api/v1/billing/license/{service.tenant}").json
    assert report.pop("days_remaining") > 50_000
    assert moment(report.pop("server_time")).tzinfo is not None
    assert report == {
        "status": "active",
        "sequence": service.validate("").json["sequence"],
        "license_mode": "base",
        "is_valid": True,
        "active_cameras": 2,
        "cameras_allowed": 2,
        "valid_until": FAR,
        "enabled_growth_packs": ["integration"],
        "cameras": [
            {
                "camera_id": "own",
                "mode": "expired",
                "is_valid": False,
                "valid_until": PAST,
                "enabled_growth_packs": None,
                "status": "expired",
            },
            {
                "camera_id": "placed",
                "mode": "base",
                "is_valid": True,
                "valid_until": FAR,
                "enabled_growth_packs": ["integration"],
                "status": "active",
            },
        ],
    }


def test_the_license_report_of_a_classic_service(service: Service) -> None:
    service.validate("placed")
    service.fault("classic_only", times=1)
    report = service.call("GET", f"/api/v1/billing/license/{service.tenant}").json
    assert not {"status", "sequence", "server_time"} & report.keys()
    assert [set(camera) for camera in report["cameras"]] == [
        {"camera_id", "mode", "is_valid", "valid_until", "enabled_growth_packs"}
    ]


def test_the_license_report_knows_who_came_first(service: Service) -> None:
    for camera in ("zulu", "alpha", "mike"):
        service.validate(camera)
    service.admin.subscribe(service.tenant, cameras_allowed=2)
    service.admin.suspend(service.tenant)
    report = service.call("GET", f"/api/v1/billing/license/{service.tenant}").json
    assert report["status"] == "suspended"
    assert [(one["camera_id"], one["mode"], one["status"]) for one in report["cameras"]] == [
        ("alpha", "base", "suspended"),
        ("mike", "unlicensed", "active"),
        ("zulu", "base", "suspended"),
    ]


@pytest.mark.parametrize(("valid_until", "days"), [(None, None), ("0001-01-01T00:00:00Z", None), (PAST, 0)])
def test_days_remaining(service: Service, valid_until: str | None, days: int | None) -> None:
    service.admin.subscribe(service.tenant, valid_until=valid_until)
    assert service.call("GET", f"/api/v1/billing/license/{service.tenant}").json["days_remaining"] == days


def test_growth_packs(service: Service) -> None:
    path = f"/api/v1/billing/growth-packs/{service.tenant}"
    assert service.call("GET", path).body == b'{"enabled_packs":null}'
    service.admin.packs(service.tenant, enable=["integration", "retail"])
    service.admin.packs(service.tenant, enable=["retail"], disable=["integration", "never-had"])
    assert service.call("GET", path).json == {"enabled_packs": ["retail"]}


@pytest.mark.parametrize("tenant", ["with/slash", "with space", "ünï", "?&%2F"])
def test_a_tenant_id_is_an_opaque_string(service: Service, tenant: str) -> None:
    tenant = f"{service.tenant}{tenant}"
    service.admin.add_tenant(tenant, service.key)
    service.admin.subscribe(tenant, packs=["integration"])
    reply = service.call("GET", f"/api/v1/billing/growth-packs/{quote(tenant, safe='')}")
    assert reply.json == {"enabled_packs": ["integration"]}


def check(service: Service, feature: str) -> dict[str, object]:
    category, _, name = feature.partition(".")
    document = {"tenant_id": service.tenant, "feature_category": category, "feature_name": name}
    return dict(service.call("POST", "/api/v1/entitlements/check", document).json)
