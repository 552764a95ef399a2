from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.event_time import Moment
from tapi_agent.domain.ids import DeviceId, TenantId, time_of
from tapi_agent.domain.usage import Meter
from tapi_agent.domain.usage_draft import Intake, read_draft

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
MOMENT = Moment(now=NOW, latest=NOW, floor=NOW - timedelta(days=400), entropy=bytes(range(10)))
INTAKE = Intake(
    meters={
        "api_call": Meter(key="api_call", unit="calls"),
        "llm_tokens": Meter(key="llm_tokens", unit="tokens"),
        "sms_sent": Meter(key="sms_sent", unit="count", enabled=False, switch="TRACK_SMS"),
        "odd": Meter(key="odd", unit="count", enabled=False),
    },
    device_id=DeviceId("device-1"),
    default_tenant=TenantId("acme"),
)
GOOD = {"event_type": "api_call", "quantity": 1}
KEYED = GOOD | {"dedupe_key": "k", "event_time": "2027-03-01T11:00:00Z"}


def test_the_smallest_draft_gets_everything_else_by_default() -> None:
    event = read_draft(GOOD, INTAKE, MOMENT)
    assert (event.tenant_id, event.device_id, event.camera_id) == ("acme", "device-1", "")
    assert (event.resource_id, event.unit, event.billable, event.corrects) == ("device-1", "calls", True, None)
    assert event.event_time == event.recorded_at == NOW == time_of(event.event_id)
    assert event.event_id.version == 7


def test_the_text_is_the_event_in_a_fixed_order() -> None:
    full = {
        "tenant_id": "t",
        "camera_id": "c",
        "event_type": "llm_tokens",
        "resource_id": "r",
        "resource_type": "model",
        "quantity": "-12.50",
        "unit": "tokens",
        "billable": False,
        "metadata": {"b": Decimal("1.0"), "a": "é"},
        "event_time": "2027-03-01T21:00:00.25+10:00",
        "corrects": "019ca6b1-dc00-7cae-9897-0729ce53f09b",
    }
    event = read_draft(full, INTAKE, MOMENT)
    assert event.canonical == (
        '{"tenant_id":"t","event_type":"llm_tokens","resource_id":"r","quantity":-12.5,"unit":"tokens",'
        '"event_time":"2027-03-01T11:00:00.250000Z","metadata":{"a":"é","b":1.0},'
        f'"event_id":"{event.event_id}","device_id":"device-1","camera_id":"c","resource_type":"model",'
        '"corrects":"019ca6b1-dc00-7cae-9897-0729ce53f09b","billable":false}'
    )
    assert event.quantity == Decimal("-12.5")
    assert event.corrects == UUID("019ca6b1-dc00-7cae-9897-0729ce53f09b")


def test_null_says_nothing() -> None:
    named = ("tenant_id", "camera_id", "unit", "metadata", "event_time", "corrects", "billable", "dedupe_key")
    blank = dict.fromkeys(named)
    assert read_draft(GOOD | blank, INTAKE, MOMENT) == read_draft(GOOD, INTAKE, MOMENT)


def test_the_resource_is_the_camera_if_there_is_one() -> None:
    assert read_draft(GOOD | {"camera_id": "cam-1"}, INTAKE, MOMENT).resource_id == "cam-1"


def test_a_key_gives_the_same_event_at_any_time() -> None:
    later = Moment(now=NOW + timedelta(hours=5), latest=NOW + timedelta(hours=5), floor=MOMENT.floor, entropy=bytes(10))
    first, second = read_draft(KEYED, INTAKE, MOMENT), read_draft(KEYED, INTAKE, later)
    assert first == second
    assert first.event_id.version == 8
    assert first.recorded_at == first.event_time == NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    "other",
    [
        {"dedupe_key": "k2"},
        {"tenant_id": "other"},
        {"event_type": "llm_tokens"},
        {"event_time": "2027-03-01T11:00:00.001Z"},
    ],
    ids=str,
)
def test_another_key_tenant_meter_or_time_is_another_event(other: dict[str, object]) -> None:
    assert read_draft(KEYED | other, INTAKE, MOMENT).event_id != read_draft(KEYED, INTAKE, MOMENT).event_id


def test_the_same_key_with_another_body_is_the_same_id_and_another_text() -> None:
    one, other = read_draft(KEYED, INTAKE, MOMENT), read_draft(KEYED | {"quantity": 2}, INTAKE, MOMENT)
    assert one.event_id == other.event_id
    assert one.canonical != other.canonical


def test_metadata_in_another_order_is_the_same_text() -> None:
    one = read_draft(KEYED | {"metadata": {"a": 1, "b": 2}}, INTAKE, MOMENT)
    assert one == read_draft(KEYED | {"metadata": {"b": 2, "a": 1}}, INTAKE, MOMENT)


@pytest.mark.parametrize(
    ("draft", "code", "pointer", "word"),
    [
        ([], "WRONG_TYPE", "#", "JSON object"),
        ("event", "WRONG_TYPE", "#", "JSON object"),
        (GOOD | {"quantty": 1}, "UNKNOWN_FIELD", "#/quantty", "did you mean quantity?"),
        (GOOD | {7: 1}, "UNKNOWN_FIELD", "#/7", "known: billable"),
        (GOOD | {"x" * 100_000: 1}, "UNKNOWN_FIELD", "#/" + "x" * 59, "known: "),
        ({"quantity": 1}, "MISSING", "#/event_type", "event_type"),
        ({"event_type": None, "quantity": 1}, "MISSING", "#/event_type", "event_type"),
        ({"event_type": "api_call"}, "MISSING", "#/quantity", "quantity"),
        (GOOD | {"event_type": "api_cal"}, "UNKNOWN_METER", "#/event_type", "did you mean api_call?"),
        (GOOD | {"event_type": "zzz"}, "UNKNOWN_METER", "#/event_type", "known: api_call, llm_tokens, odd, sms_sent"),
        (GOOD | {"event_type": 5}, "WRONG_TYPE", "#/event_type", "int"),
        (GOOD | {"event_type": "sms_sent"}, "METER_DISABLED", "#/event_type", "TRACK_SMS"),
        (GOOD | {"event_type": "odd"}, "METER_DISABLED", "#/event_type", "its switch"),
        (GOOD | {"unit": "bytes"}, "UNIT_MISMATCH", "#/unit", "counts calls"),
        (GOOD | {"unit": 1}, "UNIT_MISMATCH", "#/unit", "counts calls"),
        (GOOD | {"quantity": float("nan")}, "WRONG_TYPE", "#/quantity", "float"),
        (GOOD | {"quantity": "NaN"}, "NOT_FINITE", "#/quantity", "NaN"),
        (GOOD | {"quantity": -1}, "NEGATIVE", "#/quantity", "correct"),
        (GOOD | {"billable": "yes"}, "WRONG_TYPE", "#/billable", "true or false"),
        (GOOD | {"billable": 1}, "WRONG_TYPE", "#/billable", "true or false"),
        (GOOD | {"tenant_id": 5}, "WRONG_TYPE", "#/tenant_id", "int"),
        (GOOD | {"camera_id": "a\0"}, "BAD_TEXT", "#/camera_id", "NUL"),
        (GOOD | {"resource_id": "\udfff"}, "BAD_TEXT", "#/resource_id", "surrogate"),
        (GOOD | {"resource_type": "x" * 257}, "TOO_LONG", "#/resource_type", "256"),
        (GOOD | {"metadata": []}, "WRONG_TYPE", "#/metadata", "object"),
        (GOOD | {"event_time": "2027-03-01T12:00:00"}, "BAD_TIME", "#/event_time", "zone"),
        (GOOD | {"dedupe_key": "k"}, "TIME_MISSING", "#/event_time", "dedupe_key"),
        (GOOD | {"dedupe_key": 5, "event_time": NOW}, "WRONG_TYPE", "#/dedupe_key", "int"),
        (GOOD | {"corrects": "that one"}, "WRONG_TYPE", "#/corrects", "event id"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_draft_is_refused_with_place_and_remedy(draft: object, code: str, pointer: str, word: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_draft(draft, INTAKE, MOMENT)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert word in f"{caught.value} {caught.value.fix}"


def test_an_event_without_tenant_is_refused_when_the_agent_has_none() -> None:
    nobody = Intake(meters=INTAKE.meters, device_id=INTAKE.device_id, default_tenant=None)
    assert read_draft(GOOD | {"tenant_id": "t"}, nobody, MOMENT).tenant_id == "t"
    with pytest.raises(InvalidInputError) as caught:
        read_draft(GOOD, nobody, MOMENT)
    assert (caught.value.code, caught.value.pointer) == ("NO_TENANT", "#/tenant_id")
    assert "TENANT_ID" in caught.value.fix


def test_the_text_is_json() -> None:
    assert json.loads(read_draft(GOOD, INTAKE, MOMENT).canonical)["metadata"] == {}
