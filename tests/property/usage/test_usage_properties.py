"""What must hold for any event, any batch and any reply (5-usage, 4-billing-contract)."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tapi_agent.domain.batch import Chain, Dialect, LeasedBatch, Member, seal
from tapi_agent.domain.bisection import RootTally, Verdict, judge
from tapi_agent.domain.canonical import classic_text, event_id_of, extended_text, read_back
from tapi_agent.domain.delivery import Known, TransportFailure, UsageReply, read_reply
from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.event_time import AHEAD, Moment
from tapi_agent.domain.ids import BatchId, DeviceId, StreamId, TenantId
from tapi_agent.domain.quantity import literal, read_quantity
from tapi_agent.domain.settlement import Ambiguous, Settled
from tapi_agent.domain.tally import add_up, tally
from tapi_agent.domain.usage import Meter, Refusal, UsageEvent
from tapi_agent.domain.usage_draft import FIELDS, Intake, read_draft

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
FLOOR = NOW - timedelta(days=400)
INTAKE = Intake(
    meters={"api_call": Meter(key="api_call", unit="calls"), "llm_tokens": Meter(key="llm_tokens", unit="tokens")},
    device_id=DeviceId("device-1"),
    default_tenant=TenantId("t"),
)
BATCH = BatchId(UUID(int=1))

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
quantities = st.decimals(
    min_value=Decimal(0), max_value=Decimal("999999999999999999.999999999"), places=9, allow_nan=False
)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts | st.decimals(-1000, 1000, places=3)
metadata = st.dictionaries(
    texts, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)
)
times = st.datetimes(FLOOR.replace(tzinfo=None), (NOW + AHEAD).replace(tzinfo=None), timezones=st.just(UTC))
drafts = st.fixed_dictionaries(
    {"event_type": st.sampled_from(sorted(INTAKE.meters)), "quantity": quantities},
    optional={
        "tenant_id": texts,
        "camera_id": texts,
        "resource_id": texts,
        "resource_type": texts,
        "billable": st.booleans(),
        "metadata": metadata,
        "event_time": times,
    },
)


@st.composite
def events(draw: st.DrawFn) -> UsageEvent:
    moment = Moment(now=draw(times), latest=FLOOR, floor=FLOOR, entropy=draw(st.binary(min_size=10, max_size=10)))
    draft = draw(drafts) | {"event_time": draw(times.filter(lambda at: at <= moment.now + AHEAD))}
    return read_draft(draft, INTAKE, moment)


@given(events())
def test_the_text_holds_exactly_what_the_event_says(event: UsageEvent) -> None:
    read = json.loads(event.canonical, parse_float=Decimal)
    assert Decimal(read["quantity"]) == event.quantity
    assert datetime.fromisoformat(read["event_time"]) == event.event_time
    assert [read["event_id"], read["tenant_id"], read["camera_id"], read["resource_id"]] == [
        str(event.event_id), event.tenant_id, event.camera_id, event.resource_id,
    ]  # fmt: skip
    assert event_id_of(event.canonical) == event.event_id
    assert "\n" not in event.canonical


@given(events(), st.integers(1, 2**62))
def test_both_dialects_say_the_same(event: UsageEvent, seq: int) -> None:
    whole = json.loads(event.canonical, parse_float=Decimal)
    classic = json.loads(classic_text(event.canonical), parse_float=Decimal)
    assert json.loads(extended_text(event.canonical, seq), parse_float=Decimal) == whole | {"seq": seq}
    assert classic == {name: whole[name] for name in classic}
    assert len(classic) == 7


def reading(draft: object) -> UsageEvent | InvalidInputError:
    try:
        return read_draft(draft, INTAKE, Moment(now=NOW, latest=NOW, floor=FLOOR, entropy=bytes(10)))
    except InvalidInputError as refusal:
        return refusal


LOOKALIKE = {"metadata": {}, "event_id": str(UUID(int=7)), "device_id": "x", "camera_id": "y"}


@given(
    events() | st.just(reading({"event_type": "api_call", "quantity": 1, "metadata": {"deep": LOOKALIKE} | LOOKALIKE}))
)
def test_a_text_is_read_back_unless_a_name_needs_escapes(event: UsageEvent) -> None:
    read = read_back(event.canonical)
    names = (event.tenant_id, event.resource_id, event.camera_id, event.resource_type)
    assert (read is None) == any(json.dumps(name, ensure_ascii=False)[1:-1] != name for name in names)
    if read is not None:
        assert (read.tenant_id, read.resource_id, read.camera_id, read.resource_type or "") == names
        assert (read.event_id, read.device_id) == (str(event.event_id), event.device_id)
        assert (read.event_type, read.unit, Decimal(read.quantity)) == (event.event_type, event.unit, event.quantity)
        assert datetime.fromisoformat(f"{read.day}T{read.time}") == event.event_time
        assert (read.local is None, read.corrects) == (event.billable, event.corrects and str(event.corrects))


@given(quantities | quantities.map(Decimal.__neg__))
def test_a_quantity_survives_being_written(quantity: Decimal) -> None:
    written = literal(read_quantity(quantity))
    assert Decimal(written) == quantity
    assert literal(read_quantity(written)) == written
    json.loads(written)


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.decimals() | st.datetimes() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=5,
)


@given(anything | st.dictionaries(st.sampled_from(FIELDS), anything))
def test_any_draft_is_an_event_or_a_refusal(draft: object) -> None:
    outcome = reading(draft)
    if isinstance(outcome, InvalidInputError):
        assert outcome.pointer.startswith("#")
        assert outcome.code in set(Refusal)
    else:
        assert json.loads(outcome.canonical.encode())["event_id"] == str(outcome.event_id)


@given(st.lists(events(), min_size=1, max_size=20), st.sampled_from(Dialect), st.integers(1000, 6000))
def test_a_sealed_batch_holds_its_events_byte_for_byte(found: list[UsageEvent], dialect: Dialect, limit: int) -> None:
    members = [Member(event_id=e.event_id, seq=n, canonical=e.canonical) for n, e in enumerate(found, 1)]
    chain = Chain(stream=StreamId(UUID(int=2)), device_id=DeviceId("d"), prev_sha256=None)
    batch = seal(members, chain, batch_id=BATCH, dialect=dialect, max_bytes=limit)
    array = batch.body[batch.body.index(b'"events":') + 9 : -1] if dialect is Dialect.CLASSIC else _array(batch.body)
    assert hashlib.sha256(array).digest() == batch.sha256
    assert len(json.loads(array)) == len(batch.members)
    assert all(member.canonical[:-1] in array.decode() for member in batch.members) or dialect is Dialect.CLASSIC
    assert len(batch.members) == 1 or len(batch.body) <= limit


def _array(body: bytes) -> bytes:
    """The events of an extended body, whose head holds no text of ours but the device id."""
    head = json.loads(body)
    del head["events"]
    prefix = json.dumps(head, separators=(",", ":"), ensure_ascii=False)[:-1].encode() + b',"events":'
    assert body.startswith(prefix)
    return body[len(prefix) : -1]


EVENT_IDS = tuple(UUID(int=number) for number in range(1, 5))
statuses = st.none() | st.sampled_from([200, 201, 202, 204, 207, 301, 400, 401, 404, 409, 413, 422, 429, 500, 503])
lines = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([*map(str, EVENT_IDS), str(UUID(int=99))]) | st.text(),
        "status": st.sampled_from(["accepted", "duplicate", "rejected", "retry", "odd"]) | st.integers(),
    },
    optional={"code": texts | st.integers(), "detail": texts},
)
bodies = st.binary() | st.fixed_dictionaries(
    {},
    optional={
        "batch_id": st.sampled_from([str(BATCH), "other"]),
        "results": st.lists(lines | st.integers()) | st.none(),
        "accepted_count": st.integers(-1, 6) | st.text(),
        "rejected_count": st.integers(-1, 6),
    },
).map(lambda document: json.dumps(document).encode())
replies = st.builds(
    UsageReply,
    status=statuses,
    body=bodies,
    content_type=st.sampled_from(["application/json", "text/html", ""]),
    failure=st.sampled_from(TransportFailure),
    written=st.booleans(),
)
batches = st.builds(
    LeasedBatch,
    batch_id=st.just(BATCH),
    root_id=st.just(BATCH),
    dialect=st.sampled_from(Dialect),
    body=st.just(b"body"),
    event_ids=st.integers(1, 4).map(lambda size: EVENT_IDS[:size]),
    attempts=st.integers(1, 9),
    fence=st.just(1),
    nothing_stored=st.integers(0, 9),
    others_delivered=st.booleans(),
)
known = st.builds(Known, dedupes=st.booleans(), may_fall_back=st.booleans())


@given(replies, batches, known)
def test_every_reply_settles_every_event_once_or_none(reply: UsageReply, batch: LeasedBatch, service: Known) -> None:
    settlement = read_reply(reply, batch, service)
    if not isinstance(settlement, Settled):
        return
    parts = [settlement.synced, frozenset(settlement.dead), settlement.again]
    assert sum(map(len, parts)) == len(batch.event_ids)
    assert frozenset().union(*parts) == frozenset(batch.event_ids)
    assert not settlement.synced or reply.status in (200, 201, 202, 204, 207, 400, 422)


@given(replies, batches, known)
def test_a_service_that_dedupes_is_left_in_doubt_only_by_its_own_counts(
    reply: UsageReply, batch: LeasedBatch, service: Known
) -> None:
    settlement = read_reply(reply, batch, service)
    if service.dedupes and isinstance(settlement, Ambiguous):
        assert settlement.partial


tallies = st.builds(
    RootTally,
    **dict.fromkeys(["events", "accepted", "refused", "dead", "open", "ambiguous"], st.integers(0, 1000)),
    others_taken=st.booleans(),
)


@given(tallies)
def test_at_most_one_in_a_hundred_dies_of_refusals(found: RootTally) -> None:
    if judge(found) is Verdict.BURY:
        assert found.accepted > 0
        assert found.refused + found.dead <= max(1, found.events / 100)


@given(st.lists(events(), max_size=30), st.integers(0, 30))
def test_totals_do_not_depend_on_where_the_events_wait(found: list[UsageEvent], cut: int) -> None:
    canonical = [event.canonical for event in found]
    assert add_up(tally(canonical[:cut]), tally(canonical[cut:])) == tally(canonical)
    assert sum(total.quantity + total.local_quantity for total in tally(canonical)) == sum(e.quantity for e in found)
