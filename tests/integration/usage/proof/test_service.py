"""Reconciling with a real service, replaying dead letters, deciding about held batches: never billed twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from tests.integration.usage.proof.test_verify import LOST, Picky

from tapi_agent.domain.delivery import WireBatch
from tapi_agent.domain.errors import RejectedError, UnavailableError
from tapi_agent.domain.ids import BatchId, EventId
from tapi_agent.ports.proof import LetterQuery
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALL = LetterQuery()


async def deliver_by_hand(rig: Any, count: int) -> None:
    """Another box's delivery under the same key: ``count`` events that this database does not know."""
    text = rig.query("SELECT canonical FROM usage_events LIMIT 1")[0]["canonical"]
    event, batch_id = json.loads(text), uuid4()
    events = [event | {"event_id": str(uuid4()), "seq": n + 1} for n in range(count)]
    document = {
        "batch_id": str(batch_id),
        "device_id": "another",
        "stream": str(uuid4()),
        "first_seq": 1,
        "last_seq": count,
        "count": count,
        "prev_sha256": None,
    }
    array = json.dumps(events)
    head = json.dumps(document | {"sha256": hashlib.sha256(array.encode()).hexdigest()})
    body = f'{head[:-1]}, "events": {array}}}'
    reply = await rig.billing.send_usage(WireBatch(batch_id=BatchId(batch_id), body=body.encode()))
    assert reply.status == 200


def believe_delivered(rig: Any, count: int) -> list[str]:
    """``count`` pending events that the database takes for delivered, which they are not."""
    rows = rig.query("SELECT event_id FROM usage_events WHERE state = 'pending' ORDER BY seq LIMIT %s", count)
    assert len(rows) == count
    rig.execute("UPDATE usage_events SET state = 'synced' WHERE state = 'pending'")
    return [str(row["event_id"]) for row in rows]


async def test_what_is_missing_is_found_by_id_and_sent_again_and_what_is_extra_is_said(agent, service, prove) -> None:
    async with agent() as rig:
        await rig.record(60)
        await rig.delivery.flush()
        await rig.record(37)
        await rig.delivery.drain()
        lacking = believe_delivered(rig, 37)
        await deliver_by_hand(rig, 5)
        prover = prove(rig)
        (day,) = await prover.days()
        (line,) = (await prover.proof.reconciliation.day(day)).lines
        found = line.identified
        assert (line.ours.events, line.their_events, line.difference, line.agrees) == (97, 65, -32, False)
        assert (found.missing, found.extra, found.nameless, found.resent) == (37, 0, 5, 0)
        assert {str(one) for one in found.missing_ids} == set(lacking)
        (line,) = (await prover.proof.reconciliation.resend(day)).lines
        assert line.identified.resent == 37
        await rig.delivery.flush()
        assert await service.times() == {**dict.fromkeys(rig.recorded, 1), **(await strangers(rig, service))}
        assert len(await service.lines()) == 97 + 5
        (line,) = (await prover.proof.reconciliation.day(day)).lines
        assert (line.identified.missing, line.identified.nameless) == (0, 5)


async def strangers(rig: Any, service: Any) -> dict[str, int]:
    times: Counter[str] = await service.times()
    return {one: 1 for one in times if one not in rig.recorded}


async def test_equal_totals_hide_a_swap_unless_every_id_is_looked_up(agent, prove) -> None:
    async with agent() as rig:
        await rig.record(2)
        await rig.delivery.flush()
        await rig.record(1)
        await rig.delivery.drain()
        believe_delivered(rig, 1)
        await deliver_by_hand(rig, 1)
        prover = prove(rig)
        (day,) = await prover.days()
        assert (await prover.proof.reconciliation.day(day)).lines[0].agrees
        (line,) = (await prover.proof.reconciliation.day(day, every_id=True)).lines
        assert (line.agrees, line.identified.missing, line.identified.nameless) == (False, 1, 1)


async def test_nothing_differs_after_a_delivery(agent, prove) -> None:
    async with agent() as rig:
        await rig.record(3)
        await rig.record(2, event_type="email_sent", quantity="0.5")
        await rig.delivery.flush()
        await rig.record(4)
        prover = prove(rig)
        (day,) = await prover.days()
        comparison = await prover.proof.reconciliation.day(day, every_id=True)
        assert comparison.extended
        assert [(line.meter, line.ours.events, line.agrees) for line in comparison.lines] == [
            ("api_call", 3, True),
            ("email_sent", 2, True),
        ]


async def test_a_classic_service_is_compared_by_its_sums_and_sent_nothing(agent, service, prove) -> None:
    async with agent() as rig:
        await service.faults({"action": "classic_only", "path": "*"})
        await rig.record(3, quantity="1.5")
        await rig.record(2, event_type="email_sent")
        await rig.delivery.flush()
        prover = prove(rig)
        (day,) = await prover.days()
        comparison = await prover.proof.reconciliation.day(day)
        assert not comparison.extended
        assert [(line.meter, line.difference, line.agrees) for line in comparison.lines] == [
            ("api_call", 0, True),
            ("email_sent", None, True),
        ]
        with pytest.raises(RejectedError) as caught:
            await prover.proof.reconciliation.resend(day)
        assert caught.value.code == "service_does_not_dedupe"
        await rig.record(2)
        await rig.delivery.drain()
        believe_delivered(rig, 2)
        (line, _) = (await prover.proof.reconciliation.day(day)).lines
        assert (line.ours.quantity, line.their_quantity, line.agrees) == (Decimal("6.5"), 4, False)


@asynccontextmanager
async def dead(build: Any, count: int = 1, **fields: object) -> AsyncIterator[Any]:
    """One event that the service rejected, beside others that it took."""
    billing = Picky()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.flush()
        billing.picky = True
        for _ in range(count):
            await rig.record(2, **{"event_type": "llm_tokens", "quantity": 7} | fields)
            await rig.delivery.flush()
        billing.picky = False
        yield rig


def billed(rig: Any) -> Counter[str]:
    return Counter(str(event.get("event_id")) for event in rig.billing.billed)


async def test_a_dead_letter_is_shown_whole(build, prove) -> None:
    async with dead(build, metadata={"b": 1, "a": "ü"}) as rig:
        (letter,) = await prove(rig).proof.letters.find(ALL)
        row = rig.query("SELECT canonical FROM usage_events WHERE event_id = %s", letter.event_id)
        assert letter.event == row[0]["canonical"]
        assert (letter.code, letter.detail) == ("NO_SUCH_RESOURCE", "no")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (LetterQuery(code="NO_SUCH_RESOURCE"), 3),
        (LetterQuery(code="ANOTHER"), 0),
        (LetterQuery(limit=2), 2),
        (LetterQuery(event_ids=[EventId(UUID(int=1))]), 0),
    ],
)
async def test_letters_are_chosen(build, prove, query: LetterQuery, found: int) -> None:
    async with dead(build, 3) as rig:
        assert len(await prove(rig).proof.letters.find(query)) == found


async def test_a_replayed_event_is_billed_once_under_its_own_id(build, prove) -> None:
    async with dead(build) as rig:
        prover = prove(rig)
        (letter,) = await prover.proof.letters.find(ALL)
        replay = await prover.proof.letters.replay(ALL)
        assert (replay.replayed, replay.refused) == ([letter.event_id], [])
        assert (await prover.proof.letters.replay(ALL)).replayed == []
        assert await prover.findings() == []
        await rig.delivery.flush()
        assert billed(rig)[str(letter.event_id)] == 1
        assert rig.states() == {"synced": 5}
        assert await prover.findings() == []


async def test_a_conflict_is_not_replayed_since_another_event_has_its_id(build, prove) -> None:
    async with build(FakeBilling()) as rig:
        at = rig.clock.latest().isoformat()
        for quantity in (1, 2):
            draft = {"event_type": "sms_sent", "quantity": quantity, "dedupe_key": "k", "event_time": at}
            await rig.metering.record(draft)
        await rig.delivery.flush()
        replay = await prove(rig).proof.letters.replay(ALL)
        assert [refusal.obstacle for refusal in replay.refused] == ["ID_IS_TAKEN"]
        assert rig.dead()


async def test_an_id_without_a_letter_is_said(build, prove) -> None:
    async with build(FakeBilling()) as rig:
        replay = await prove(rig).proof.letters.replay(LetterQuery(event_ids=[EventId(UUID(int=1))]))
        assert [refusal.obstacle for refusal in replay.refused] == ["NO_LETTER"]


def now_classic(rig: Any) -> None:
    rig.billing.classic()
    rig.execute("UPDATE billing_sync_status SET dedupes = false, dialect = 'classic'")


async def test_on_a_classic_service_what_the_sums_show_not_to_be_stored_is_replayed(build, prove) -> None:
    async with dead(build) as rig:
        now_classic(rig)
        prover = prove(rig)
        assert len((await prover.proof.letters.replay(ALL)).replayed) == 1
        await rig.delivery.flush()
        assert sum(event["event_type"] == "llm_tokens" for event in rig.billing.billed) == 2
        assert rig.states() == {"synced": 5}


async def test_on_a_classic_service_what_the_sums_hold_is_never_sent_again(build, prove) -> None:
    async with dead(build) as rig:
        (letter,) = await prove(rig).proof.letters.find(ALL)
        rig.billing.billed.append(json.loads(letter.event))
        now_classic(rig)
        replay = await prove(rig).proof.letters.replay(ALL)
        assert [refusal.obstacle for refusal in replay.refused] == ["STORED"]
        await rig.delivery.flush()
        assert billed(rig)[str(letter.event_id)] == 1


async def test_on_a_classic_service_a_meter_without_sums_proves_nothing(build, prove) -> None:
    async with dead(build, event_type="email_sent") as rig:
        now_classic(rig)
        replay = await prove(rig).proof.letters.replay(ALL)
        assert [refusal.obstacle for refusal in replay.refused] == ["NOT_PROVED"]
        assert len(await prove(rig).proof.letters.find(ALL)) == 1


async def test_without_an_answer_of_a_classic_service_nothing_is_replayed(build, prove) -> None:
    async with dead(build) as rig:
        now_classic(rig)
        rig.billing.offline()
        with pytest.raises(UnavailableError):
            await prove(rig).proof.letters.replay(ALL)
        assert len(await prove(rig).proof.letters.find(ALL)) == 1


async def test_a_letter_whose_row_is_gone_stays_one(build, prove) -> None:
    async with dead(build) as rig:
        rig.execute("DELETE FROM usage_events WHERE state = 'dead'")
        replay = await prove(rig).proof.letters.replay(ALL)
        assert [refusal.obstacle for refusal in replay.refused] == ["NO_ROW"]
        now_classic(rig)
        replay = await prove(rig).proof.letters.replay(ALL)
        assert [refusal.obstacle for refusal in replay.refused] == ["NO_ROW"]


@asynccontextmanager
async def doubtful(build: Any) -> AsyncIterator[Any]:
    """A batch of which nobody can find out whether it is stored."""
    billing = FakeBilling()
    billing.classic()
    async with build(billing) as rig:
        billing.reply_to_usage(LOST)
        await rig.record(2, event_type="email_sent")
        await rig.delivery.flush()
        assert rig.states() == {"sealed": 2}
        yield rig


async def test_a_held_batch_is_shown_with_its_reason(build, prove) -> None:
    async with doubtful(build) as rig:
        (held,) = await prove(rig).proof.letters.held()
        assert (held.ambiguous, held.events, dict(held.meters)) == (True, 2, {"email_sent": 2})
        assert held.why
        assert held.first_event_at <= held.last_event_at <= rig.clock.latest()


@pytest.mark.parametrize(("stored", "sent"), [(True, 1), (False, 2)])
async def test_the_operators_word_settles_a_batch_or_sends_it_again(build, prove, *, stored: bool, sent: int) -> None:
    async with doubtful(build) as rig:
        prover = prove(rig)
        (held,) = await prover.proof.letters.held()
        word = {"stored": stored, "reason": "asked them", "by": "ann"}
        assert await prover.proof.verdicts.decide(held.batch_id, **word) == 2
        await rig.delivery.flush()
        assert rig.states() == {"synced": 2}
        assert len(rig.billing.sent) == sent
        assert await prover.findings() == []
        with pytest.raises(RejectedError) as caught:
            await prover.proof.verdicts.decide(held.batch_id, **word)
        assert caught.value.code == "batch_not_in_doubt"
