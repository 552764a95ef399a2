from __future__ import annotations

import hashlib
import json
from uuid import UUID

import pytest

from tapi_agent.domain.batch import Chain, Dialect, Member, SealedBatch, seal
from tapi_agent.domain.canonical import classic_text, event_id_of, extended_text
from tapi_agent.domain.ids import BatchId, DeviceId, EventId, StreamId

STREAM = StreamId(UUID(int=5))
BATCH = BatchId(UUID(int=9))
CHAIN = Chain(stream=STREAM, device_id=DeviceId('d"1'), prev_sha256=None)


def text(number: int, metadata: str = "{}") -> str:
    return (
        f'{{"tenant_id":"t","event_type":"api_call","resource_id":"r","quantity":0.10,"unit":"calls",'
        f'"event_time":"2027-03-01T12:00:00Z","metadata":{metadata},"event_id":"{UUID(int=number)}",'
        f'"device_id":"d","camera_id":""}}'
    )


def members(count: int, metadata: str = "{}") -> list[Member]:
    return [
        Member(event_id=EventId(UUID(int=number)), seq=number * 10, canonical=text(number, metadata))
        for number in range(1, count + 1)
    ]


def sealed(batch_members: list[Member], dialect: Dialect = Dialect.EXTENDED, **terms: int) -> SealedBatch:
    return seal(batch_members, CHAIN, batch_id=BATCH, dialect=dialect, **terms)


def test_both_dialects_are_cut_from_the_same_bytes() -> None:
    canonical = text(1, '{"event_id":"00000000-0000-0000-0000-0000000000ff"}')
    classic, extended = classic_text(canonical), extended_text(canonical, 7)
    assert list(json.loads(classic)) == [
        "tenant_id", "event_type", "resource_id", "quantity", "unit", "event_time", "metadata",
    ]  # fmt: skip
    assert json.loads(extended) == json.loads(canonical) | {"seq": 7}
    assert extended.startswith(classic[:-1])
    assert event_id_of(canonical) == UUID(int=1)


def test_the_extended_body_says_what_it_holds() -> None:
    batch = sealed(members(3))
    body = json.loads(batch.body)
    events = batch.body[batch.body.index(b'"events":') + 9 : -1]
    assert list(body) == [
        "batch_id", "device_id", "stream", "first_seq", "last_seq", "count", "sha256", "prev_sha256", "events",
    ]  # fmt: skip
    assert body["sha256"] == hashlib.sha256(events).hexdigest() == batch.sha256.hex()
    assert (body["batch_id"], body["stream"], body["device_id"]) == (str(BATCH), str(STREAM), 'd"1')
    assert (body["first_seq"], body["last_seq"], body["count"], body["prev_sha256"]) == (10, 30, 3, None)
    assert [event["seq"] for event in body["events"]] == [10, 20, 30]


def test_the_chain_goes_on_from_the_batch_before() -> None:
    chain = Chain(stream=STREAM, device_id=DeviceId("d"), prev_sha256=sealed(members(1)).sha256)
    batch = seal(members(1), chain, batch_id=BATCH, dialect=Dialect.EXTENDED)
    assert json.loads(batch.body)["prev_sha256"] == sealed(members(1)).sha256.hex()


def test_the_classic_body_has_the_classic_fields_alone() -> None:
    batch = sealed(members(2), Dialect.CLASSIC)
    assert list(json.loads(batch.body)) == ["events"]
    assert all("event_id" not in event and "seq" not in event for event in json.loads(batch.body)["events"])
    assert b'"quantity":0.10' in batch.body


def test_sealing_again_gives_the_same_bytes() -> None:
    assert sealed(members(5)) == sealed(members(5))


@pytest.mark.parametrize("dialect", Dialect)
def test_a_body_keeps_the_limit(dialect: Dialect) -> None:
    many = members(100, metadata=json.dumps({"x": "é" * 500}, ensure_ascii=False))
    batch = sealed(many, dialect, max_bytes=20_000)
    assert 5 < len(batch.members) < 20
    assert len(batch.body) <= 20_000
    assert batch.members == tuple(many[: len(batch.members)])


def test_one_event_goes_alone_however_large() -> None:
    assert len(sealed(members(3, metadata='{"x":"' + "x" * 5000 + '"}'), max_bytes=1000).members) == 1
