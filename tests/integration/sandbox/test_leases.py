"""Signed leases over a real socket, opened with cryptography alone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from pydantic import TypeAdapter
from tests.integration.sandbox.conftest import Service
from tests.integration.sandbox.lease_tools import MARKS, NONCE, moment, opened, verifies, word

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox.admin import SandboxAdmin
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.settings.values import TrustedKeys

FAR = "2199-01-01T00:00:00Z"
PAST = "2001-01-01T00:00:00Z"


def key_of(service: Service) -> str:
    return service.admin.keys()[0]["public_key"]


def lease(service: Service, camera_id: str = "cam-01", **fields: object) -> Any:
    """The lease that answers a validate request, opened."""
    reply = service.validate(camera_id, nonce=NONCE, **fields)
    assert reply.status == 200, reply.body
    return opened(reply.json["lease"], key_of(service))


@pytest.fixture
def signed(service: Service) -> Service:
    service.admin.leases(service.tenant)
    return service


def test_a_lease_answers_a_nonce_of_a_tenant_with_leases(service: Service) -> None:
    assert "lease" not in service.validate(nonce=NONCE).json
    service.admin.leases(service.tenant, signed=True)
    assert "lease" in service.validate(nonce=NONCE).json
    assert "lease" not in service.validate().json
    service.admin.leases(service.tenant, signed=False)
    assert "lease" not in service.validate(nonce=NONCE).json


def test_what_a_lease_says(signed: Service) -> None:
    signed.admin.subscribe(
        signed.tenant, mode="enterprise", valid_until="2199-01-01T02:00:00+02:00", cameras_allowed=7, packs=["Retail"]
    )
    reply = signed.validate(nonce=NONCE, fingerprint="box-7", components=MARKS).json
    document = opened(reply["lease"], key_of(signed))
    meta, machine = document["meta"], document["data"]["attributes"]
    assert word(document) == {
        "schema": 1,
        "kid": signed.admin.keys()[0]["kid"],
        "tenant_id": signed.tenant,
        "camera_id": "cam-01",
        "mode": "enterprise",
        "status": "active",
        "packs": ["Retail"],
        "cameras_allowed": 7,
        "sequence": reply["sequence"],
        "not_before": None,
        "durations": {},
        "components": MARKS,
    }
    assert (document["data"]["type"], machine["fingerprint"]) == ("machines", "box-7")
    assert [moment(one["attributes"]["expiry"]) for one in document["included"]] == [moment(FAR)]
    assert (meta["nonce"], meta["reset_clock"]) == (NONCE, False)
    assert moment(meta["expiry"]) - moment(meta["issued"]) == timedelta(days=30)
    assert moment(meta["issued"]) - moment(reply["server_time"]) < timedelta(seconds=20)


def test_without_a_fingerprint_it_is_for_the_device(signed: Service) -> None:
    assert lease(signed, device_id="box-8")["data"]["attributes"]["fingerprint"] == "box-8"


@pytest.mark.parametrize(
    ("terms", "mode", "status"),
    [
        pytest.param({"mode": "trial"}, "trial", "active", id="trial"),
        pytest.param({"mode": "unlicensed"}, "unlicensed", "active", id="unlicensed"),
        pytest.param({"mode": "enterprise", "valid_until": PAST}, "enterprise", "expired", id="lapsed-as-sold"),
        pytest.param({"status": "suspended"}, "base", "suspended", id="suspended"),
        pytest.param({"status": "revoked", "valid_until": PAST}, "base", "revoked", id="revoked"),
        pytest.param({"status": "past_due"}, "base", "past_due", id="past-due"),
    ],
)
def test_a_no_comes_signed_as_well(signed: Service, terms: dict[str, object], mode: str, status: str) -> None:
    signed.admin.subscribe(signed.tenant, **terms)
    said = word(lease(signed))
    assert (said["mode"], said["status"]) == (mode, status)


def test_the_tenant_itself_and_a_camera_without_a_place(signed: Service) -> None:
    signed.admin.subscribe(signed.tenant, cameras_allowed=0)
    assert [(word(lease(signed, one))["camera_id"], word(lease(signed, one))["mode"]) for one in ("", "cam-01")] == [
        ("", "base"),
        ("cam-01", "unlicensed"),
    ]


@pytest.mark.parametrize(
    ("valid_until", "expiry"),
    [
        pytest.param(None, None, id="no-end"),
        pytest.param("0001-01-01T00:00:00Z", None, id="zero-time-of-go"),
        pytest.param("9999-12-31T23:59:59-12:00", "9000-01-01T00:00:00Z", id="not-in-the-calendar-of-utc"),
    ],
)
def test_odd_ends(signed: Service, valid_until: str | None, expiry: str | None) -> None:
    signed.admin.subscribe(signed.tenant, valid_until=valid_until)
    assert lease(signed)["included"][0]["attributes"]["expiry"] == expiry


def test_terms(service: Service) -> None:
    service.admin.leases(
        service.tenant, term_s=None, freshness_s=60, offline_grace_s=None, license_grace_s=0, reset_clock=True
    )
    document = lease(service)
    assert (document["meta"]["expiry"], document["meta"]["reset_clock"]) == (None, True)
    assert word(document)["durations"] == {"freshness_s": 60, "offline_grace_s": None, "license_grace_s": 0}
    service.admin.leases(service.tenant, term_s=90)
    document = lease(service)
    assert moment(document["meta"]["expiry"]) - moment(document["meta"]["issued"]) == timedelta(seconds=90)
    assert word(document)["durations"] == {}, "an order replaces all terms"


def test_with_a_license_key_it_is_encrypted_for_one_device(service: Service) -> None:
    service.admin.leases(service.tenant, license_key="KEY-1")
    text, key = service.validate(nonce=NONCE).json["lease"], key_of(service)
    document = opened(text, key, license_key="KEY-1", fingerprint="device")
    assert document["included"][0]["attributes"]["key"] == "KEY-1"
    for wrong in ({"license_key": "KEY-2"}, {"license_key": "KEY-1", "fingerprint": "another"}):
        with pytest.raises(InvalidTag):
            opened(text, key, **wrong)


def test_components_are_enrolled_and_drift_is_taken_over(signed: Service) -> None:
    drifted = MARKS | {"mac_eth0": "c" * 64}

    def carried(**sent: object) -> Any:
        return word(lease(signed, **sent))["components"]

    assert carried() == {}
    assert carried(components=MARKS) == MARKS
    assert carried() == MARKS, "kept while none are sent"
    assert carried(fingerprint="another") == {}
    signed.validate(components=drifted)
    assert carried() == drifted, "enrolled without a lease"
    signed.process.admin.leases(signed.tenant, signed=False)
    signed.validate(components=MARKS)
    signed.process.admin.leases(signed.tenant)
    assert carried() == MARKS


def test_a_classic_service_enrolls_nothing_and_signs_nothing(signed: Service) -> None:
    signed.fault("classic_only", times=1)
    assert "lease" not in signed.validate(nonce=NONCE, components=MARKS).json
    assert word(lease(signed))["components"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"nonce": "n"}, id="short-nonce"),
        pytest.param({"nonce": NONCE.upper()}, id="upper-case-nonce"),
        pytest.param({"nonce": NONCE + "\n"}, id="nonce-and-newline"),
        pytest.param({"nonce": 7}, id="nonce-a-number"),
        pytest.param({"fingerprint": ""}, id="empty-fingerprint"),
        pytest.param({"components": ["a" * 64]}, id="components-a-list"),
        pytest.param({"components": {"serial": "raw-serial"}}, id="component-not-hashed"),
        pytest.param({"components": {f"c{n}": "a" * 64 for n in range(65)}}, id="too-many-components"),
    ],
)
def test_a_senseless_extension_is_400_and_names_the_field(signed: Service, fields: dict[str, object]) -> None:
    reply = signed.validate(**fields)
    (name,) = fields
    assert (reply.status, name in reply.body.decode()) == (400, True)


@pytest.mark.parametrize(
    "terms",
    [
        {"signed": "yes"},
        {"signed": True, "term_s": -1},
        {"signed": True, "term_s": 10**12},
        {"signed": True, "freshness_s": 1.5},
        {"signed": True, "license_key": ""},
        {"signed": True, "reset_clock": None},
    ],
    ids=str,
)
def test_senseless_terms_change_nothing(service: Service, terms: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as refused:
        service.admin.leases(service.tenant, **terms)
    assert refused.value.code == "400"
    assert "lease" not in service.validate(nonce=NONCE).json


def test_a_fresh_key_signs_and_the_former_stays_known(own: Service) -> None:
    own.admin.leases(own.tenant)
    (first,) = own.admin.keys()
    before = own.validate(nonce=NONCE).json["lease"]
    own.admin.rotate_key()
    second, *former = own.admin.keys()
    assert former == [first]
    after = own.validate(nonce=NONCE).json["lease"]
    assert [verifies(text, first["public_key"]) for text in (before, after)] == [True, False]
    assert word(opened(after, second["public_key"]))["kid"] == second["kid"] != first["kid"]
    own.admin.rotate_key()
    newest = own.admin.keys()[0]
    pairs = [f"{key['kid']}:{key['public_key']}" for key in (newest, second)]
    assert own.admin.trusted_keys() == ",".join(pairs), "an agent trusts two"


def test_kill_loses_no_key_no_terms_and_no_machine(own: Service) -> None:
    own.admin.leases(own.tenant, term_s=5)
    own.admin.rotate_key()
    lease(own, components=MARKS)
    before = own.admin.keys()
    own.process.kill()
    own.process.restart()
    assert own.admin.keys() == before
    document = lease(own)
    assert moment(document["meta"]["expiry"]) - moment(document["meta"]["issued"]) == timedelta(seconds=5)
    assert word(document)["components"] == MARKS


def test_a_signing_failure_loses_no_registration(own: Service, tmp_path: Path) -> None:
    own.admin.leases(own.tenant)
    own.admin.subscribe(own.tenant, cameras_allowed=1)
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as ledger:
        ledger.execute("CREATE TABLE aside AS SELECT secret FROM signing_keys")
        ledger.execute("UPDATE signing_keys SET secret = x'00'")
        assert own.validate("first", nonce=NONCE, components=MARKS).status == 500
        ledger.execute("UPDATE signing_keys SET secret = (SELECT secret FROM aside)")
    assert word(lease(own, "second"))["mode"] == "unlicensed", "the place is taken"
    assert word(lease(own, "first"))["mode"] == "base"
    assert word(lease(own, "first"))["components"] == MARKS


def test_a_ledger_of_the_first_version_gets_a_key(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        ledger.executescript(files("tapi_agent.sandbox").joinpath("schema.sql").read_text())
        ledger.execute("INSERT INTO tenants VALUES ('old', 41)")
        ledger.commit()
    with SandboxProcess(tmp_path / "ledger.db", tenant="old", api_key="k", signed=True) as process:
        old = Service(process=process, tenant="old", key="k")
        assert word(lease(old))["sequence"] == 41, "what it had is kept"
        assert len(process.admin.keys()) == 1


def test_a_signed_start_switches_on_and_does_not_change_terms(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path / "ledger.db", tenant="t", api_key="k", signed=True) as process:
        assert "lease" in Service(process=process, tenant="t", key="k").validate(nonce=NONCE).json
        process.admin.leases("t", license_key="mine")
        process.restart()
        text = Service(process=process, tenant="t", key="k").validate(nonce=NONCE).json["lease"]
        assert opened(text, process.admin.keys()[0]["public_key"], license_key="mine")


def request_file(service: Service, *cameras: str, **fields: object) -> bytes:
    document = {
        "schema": 1,
        "kind": "tapi-license-request",
        "tenant_id": service.tenant,
        "device_id": "device",
        "nonce": NONCE,
        "components": MARKS,
        "cameras": [{"camera_id": camera, "sequence": 0} for camera in cameras],
        "sequence": 0,
        "agent_version": "1",
        "clock": {"wall": "2026-01-01T00:00:00Z", "trusted": "2026-01-01T00:00:00Z"},
    } | fields
    return json.dumps(document).encode()


def answered(service: Service, *cameras: str, request: bytes | None = None) -> dict[str, str]:
    """The mode that each lease of the answer gives, by camera."""
    answer = service.admin.answer(request or request_file(service, *cameras))
    documents = [opened(text, key_of(service)) for text in answer.replace("\n\n", "\n\0").split("\0")]
    assert {document["meta"]["nonce"] for document in documents} == {NONCE}
    assert [word(document)["components"] for document in documents] == [MARKS] * len(documents)
    modes = {word(document)["camera_id"]: word(document)["mode"] for document in documents}
    assert len(modes) == len(documents), "one lease for each"
    return modes


def test_an_answer_has_the_tenant_s_lease_and_those_that_differ(signed: Service) -> None:
    signed.admin.subscribe(signed.tenant, cameras_allowed=2)
    signed.admin.subscribe(signed.tenant, camera_id="own", mode="enterprise")
    signed.admin.subscribe(signed.tenant, camera_id="alike", cameras_allowed=2)
    assert answered(signed, "a", "own", "alike", "b", "c", "c") == {
        "": "base",
        "own": "enterprise",
        "alike": "base",
        "c": "unlicensed",
    }
    assert signed.validate("b").json["is_valid"], "it took a place"
    assert answered(signed, "b") == {"": "base"}
    assert answered(signed) == {"": "base"}


def test_a_no_of_an_earlier_answer_is_replaced(signed: Service) -> None:
    signed.admin.subscribe(signed.tenant, cameras_allowed=0)
    assert answered(signed, "a") == {"": "base", "a": "unlicensed"}
    signed.admin.subscribe(signed.tenant, cameras_allowed=1)
    known = request_file(signed, cameras=[{"camera_id": "a", "sequence": 3}])
    assert answered(signed, request=known) == {"": "base", "a": "base"}


def test_an_answer_is_text(signed: Service) -> None:
    reply = signed.call("POST", "/admin/answer", request_file(signed), Authorization="Bearer sandbox-admin")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        pytest.param({"schema": 2}, "400", "schema", id="another-schema"),
        pytest.param({"kind": "something"}, "400", "kind", id="another-kind"),
        pytest.param({"nonce": "n"}, "400", "nonce", id="no-nonce"),
        pytest.param({"cameras": ["cam-01"]}, "400", "cameras", id="cameras-not-objects"),
        pytest.param({"cameras": [{"camera_id": ""}]}, "400", "cameras", id="camera-without-id"),
        pytest.param({"tenant_id": "nobody"}, "404", "nobody", id="unknown-tenant"),
    ],
)
def test_a_request_file_that_cannot_be_answered(signed: Service, fields: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(RejectedError, match=says) as refused:
        signed.admin.answer(request_file(signed, **fields))
    assert refused.value.code == code


def test_a_tenant_without_leases_gets_no_answer(service: Service) -> None:
    service.admin.subscribe(service.tenant, cameras_allowed=1)
    with pytest.raises(RejectedError, match="/admin/leases") as refused:
        service.admin.answer(request_file(service, "a"))
    assert refused.value.code == "400"
    assert service.validate("b").json["is_valid"], "nothing was registered"


def test_a_request_file_that_is_no_json(signed: Service) -> None:
    with pytest.raises(RejectedError, match="not a JSON object"):
        signed.admin.answer(b"-----BEGIN")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([sys.executable, "-m", "tapi_agent.sandbox", "--tenant", "t"], id="module"),
        pytest.param([str(Path(sys.executable).parent / "tapi-agent"), "sandbox"], id="command"),
    ],
)
def test_a_signed_start_says_what_to_trust(command: list[str], tmp_path: Path) -> None:
    arguments = ["--signed", "--port", "0", "--state", str(tmp_path / "ledger.db")]
    env = {"TAPI_SANDBOX_API_KEY": "k", "TAPI_SANDBOX_ADMIN_TOKEN": "sandbox-admin"}
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, env=env, text=True) as process:
        assert process.stdout is not None
        trust, ready = process.stdout.readline(), process.stdout.readline()
        trusted = SandboxAdmin(ready.split()[-1], "sandbox-admin").trusted_keys()
        process.terminate()
        assert process.wait(10) == 0
    assert trust == f"TRUSTED_KEYS={trusted}\n"
    assert TypeAdapter(TrustedKeys).validate_python(trusted).keys() == {trusted.partition(":")[0]}
