from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.adapters.billing import forms, replies
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import FeatureReply, HeartbeatReply, LicenseReply

BATCH = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
EVENT = UUID("01890a5d-ac96-774b-bcce-b302099a8058")
LICENSE = {
    "is_valid": True,
    "license_mode": "base",
    "enabled_growth_packs": ["Advanced Analytics", "retail"],
    "valid_until": "2027-01-01T00:00:00.123456789+11:00",
    "cameras_allowed": 4,
}
RECORD = {"batch_id": str(BATCH), "results": [{"event_id": str(EVENT), "status": "accepted"}]}


def test_a_classic_license() -> None:
    assert replies.license_reply(LICENSE) == LicenseReply(
        is_valid=True,
        mode=LicenseMode.BASE,
        packs=("Advanced Analytics", "retail"),
        valid_until=datetime(2026, 12, 31, 13, 0, 0, 123_456, UTC),
        cameras_allowed=4,
    )


def test_an_extended_license() -> None:
    extension = {"status": "past_due", "sequence": 7, "server_time": "2026-05-05T05:05:05Z", "lease": "unknown here"}
    reply = replies.license_reply(LICENSE | extension)
    assert (reply.status, reply.sequence) == (LicenseStatus.PAST_DUE, 7)
    assert reply.server_time == datetime(2026, 5, 5, 5, 5, 5, tzinfo=UTC)


@pytest.mark.parametrize("absent", ["enabled_growth_packs", "valid_until", "cameras_allowed"])
@pytest.mark.parametrize("how", ["null", "left out"])
def test_what_may_be_null_may_also_be_left_out(absent: str, how: str) -> None:
    document = {key: value for key, value in LICENSE.items() if key != absent} | (
        {absent: None} if how == "null" else {}
    )
    reply = replies.license_reply(document)
    found = {
        "enabled_growth_packs": reply.packs,
        "valid_until": reply.valid_until,
        "cameras_allowed": reply.cameras_allowed,
    }
    assert found[absent] in {(), None}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("is_valid", 1),
        ("is_valid", "true"),
        ("is_valid", None),
        ("license_mode", "platinum"),
        ("license_mode", "BASE"),
        ("license_mode", None),
        ("license_mode", ["base"]),
        ("enabled_growth_packs", "retail"),
        ("enabled_growth_packs", ["retail", 7]),
        ("enabled_growth_packs", ["re\x00tail"]),
        ("enabled_growth_packs", ["\ud800"]),
        ("enabled_growth_packs", [""]),
        ("enabled_growth_packs", ["x" * 1025]),
        ("valid_until", "2026-03-01T12:00:00"),
        ("valid_until", 1772366400),
        ("cameras_allowed", True),
        ("cameras_allowed", 4.0),
        ("cameras_allowed", "4"),
        ("cameras_allowed", -1),
        ("cameras_allowed", 2**63),
        ("status", "paused"),
        ("sequence", "7"),
        ("sequence", False),
        ("server_time", "noon"),
    ],
)
def test_a_wrong_type_is_named_and_is_no_answer(key: str, value: object) -> None:
    with pytest.raises(IntegrityError, match=key) as caught:
        replies.license_reply(LICENSE | {key: value})
    assert str(caught.value).isascii()
    assert caught.value.fix


@pytest.mark.parametrize(
    ("said", "left"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"quota_remaining": None}, None, id="null"),
        pytest.param({"quota_remaining": -1}, Decimal(-1), id="unlimited"),
        pytest.param({"quota_remaining": 0}, Decimal(0), id="none"),
        pytest.param({"quota_remaining": Decimal("2.5")}, Decimal("2.5"), id="fraction"),
        pytest.param({"quota_remaining": 7, "quota_limit": 50, "quota_used": "43"}, Decimal(7), id="older server"),
        pytest.param({"quota_limit": 50, "quota_used": 43, "colour": "red"}, None, id="not of the contract"),
    ],
)
def test_a_feature_and_what_is_left_of_it(said: dict[str, object], left: Decimal | None) -> None:
    assert replies.feature_reply({"is_enabled": False} | said) == FeatureReply(is_enabled=False, quota_remaining=left)


@pytest.mark.parametrize(
    ("until", "end"),
    [
        pytest.param("2027-01-01T00:00:00.123456789+11:00", datetime(2026, 12, 31, 13, 0, 0, 123_456, UTC), id="date"),
        pytest.param("0001-01-01T00:00:00Z", None, id="no date in Go"),
        pytest.param(None, None, id="null"),
    ],
)
def test_a_feature_has_its_end_as_a_license_has(until: str | None, end: datetime | None) -> None:
    reply = replies.feature_reply({"is_enabled": True, "valid_until": until})
    assert reply == FeatureReply(is_enabled=True, valid_until=end)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("is_enabled", None),
        ("is_enabled", 1),
        ("is_enabled", "true"),
        ("quota_remaining", -2),
        ("quota_remaining", Decimal("-0.5")),
        ("quota_remaining", "7"),
        ("quota_remaining", True),
        ("quota_remaining", Decimal("1E+999999")),
        ("valid_until", "tomorrow"),
        ("valid_until", 1772366400),
    ],
)
def test_a_feature_of_another_form_is_no_answer(key: str, value: object) -> None:
    with pytest.raises(IntegrityError, match=key):
        replies.feature_reply({"is_enabled": True, key: value})


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        pytest.param({}, None, id="no wish"),
        pytest.param({"next_heartbeat_in_seconds": 900}, timedelta(minutes=15), id="seconds"),
        pytest.param({"next_heartbeat_in_seconds": -3}, timedelta(0), id="negative"),
        pytest.param({"next_heartbeat_in_seconds": 10**30}, timedelta(seconds=10**9), id="absurd"),
    ],
)
def test_heartbeat(extra: dict[str, object], expected: timedelta | None) -> None:
    assert replies.heartbeat_reply({"status": "ok"} | extra) == HeartbeatReply(next_heartbeat=expected)


@pytest.mark.parametrize(
    "document", [{}, {"status": "no"}, {"status": "ok", "next_heartbeat_in_seconds": Decimal("1.5")}]
)
def test_heartbeat_of_another_form(document: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        replies.heartbeat_reply(document)


def test_batch_record() -> None:
    record = replies.batch_record(RECORD, BATCH)
    assert (record.batch_id, record.results) == (BATCH, {EVENT: "accepted"})


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"batch_id": str(EVENT)}, id="of another batch"),
        pytest.param({"results": None}, id="no results"),
        pytest.param({"results": ["accepted"]}, id="not objects"),
        pytest.param({"results": [{"event_id": "7", "status": "accepted"}]}, id="not an id"),
        pytest.param({"results": [{"event_id": str(EVENT), "status": "lost"}]}, id="unknown outcome"),
    ],
)
def test_batch_record_of_another_form(wrong: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        replies.batch_record(RECORD | wrong, BATCH)


def test_usage_sums_are_exact_and_only_those_of_the_contract() -> None:
    reply = forms.document(
        b'{"api_calls": 12, "storage_gb_days": 0.1000000000000000055, "sms_sent": null, "other": 1, "tenant_id": "t"}'
    )
    assert replies.usage_sums(reply) == {
        "api_calls": Decimal(12),
        "storage_gb_days": Decimal("0.1000000000000000055"),
    }


@pytest.mark.parametrize("wrong", ["12", True, Decimal("1E+999999"), 10**40, [1]])
def test_a_sum_that_is_no_number_to_calculate_with(wrong: object) -> None:
    with pytest.raises(IntegrityError, match="api_calls"):
        replies.usage_sums({"api_calls": wrong})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="page"),
        pytest.param(b'{"is_valid": tr', id="cut short"),
        pytest.param(b'{"n": NaN}', id="not a number"),
        pytest.param(b'{"n": -Infinity}', id="infinite"),
        pytest.param(b"[" * 200_000, id="too deep"),
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", id="too many digits"),
        pytest.param(b'{"n": "\xff"}', id="not UTF-8"),
    ],
)
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        forms.document(body)


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"healthy"'])
def test_json_that_is_no_object(body: bytes) -> None:
    with pytest.raises(IntegrityError, match="an object"):
        forms.document(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["base", "ok", "active"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LICENSE, *RECORD]), inner),
    max_leaves=12,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_ends_in_anything_but_a_value_or_no_answer(body: bytes) -> None:
    for form in (
        replies.license_reply,
        replies.heartbeat_reply,
        replies.usage_sums,
        lambda reply: replies.batch_record(reply, BATCH),
    ):
        try:
            form(forms.document(body))
        except (ValueError, IntegrityError):
            continue


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a" : 1}', '{"a" : 1}'),
        ('{"a": "Tür"}'.encode(), '{"a": "Tür"}'),
        ('{"a": 1}'.encode("utf-16"), ""),
        (b"x" * 16 * 1024, "x" * 16 * 1024),
        (b"x" * (16 * 1024 + 1), ""),
    ],
    ids=["as it came", "UTF-8", "UTF-16", "long", "too long"],
)
def test_what_is_kept_of_a_body_for_people(body: bytes, kept: str) -> None:
    assert forms.raw(body) == kept


@pytest.mark.parametrize(
    "total",
    [
        "x",
        {},
        {"tenant_id": "t", "event_type": "api_call", "day": "yesterday", "count": 1, "quantity": 1},
        {"tenant_id": "t", "event_type": "api_call", "day": "2027-03-01", "count": -1, "quantity": 1},
        {"tenant_id": "t", "event_type": "api_call", "day": "2027-03-01", "count": 1, "quantity": "1"},
    ],
)
def test_malformed_totals_are_no_answer(total: object) -> None:
    with pytest.raises(IntegrityError):
        replies.billed_totals({"totals": [total]})


@pytest.mark.parametrize("result", ["x", {"event_id": "x", "status": "accepted"}])
def test_malformed_results_of_a_look_up_are_no_answer(result: object) -> None:
    with pytest.raises(IntegrityError):
        replies.looked_up({"results": [result]})


def test_only_what_is_stored_is_found() -> None:
    words = ["accepted", "duplicate", "rejected", "unknown", None]
    results = [{"event_id": str(UUID(int=n)), "status": word} for n, word in enumerate(words)]
    assert replies.looked_up({"results": results}) == {UUID(int=0), UUID(int=1)}
