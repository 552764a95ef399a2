"""``usage verify`` after a mix of everything, and each kind of damage that it has to find."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.testing.billing import FakeBilling
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LOST = UsageReply(failure=TransportFailure.RESET, written=True)


def refusing(batch: Any, code: str) -> UsageReply:
    """The service's reply to ``batch`` that rejects its first event and takes the others."""
    ids = [event["event_id"] for event in json.loads(batch.body)["events"]]
    results = [{"event_id": one, "status": "accepted"} for one in ids[1:]]
    document = {
        "batch_id": str(batch.batch_id),
        "accepted_count": len(ids) - 1,
        "rejected_count": 1,
        "errors": [],
        "results": [{"event_id": ids[0], "status": "rejected", "code": code, "detail": "no"}, *results],
    }
    return UsageReply(status=200, body=json.dumps(document).encode(), content_type="application/json")


class Picky(FakeBilling):
    """Rejects the first event of each batch while ``picky``."""

    picky = False

    async def send_usage(self, batch: Any) -> UsageReply:
        if self.picky:
            self.reply_to_usage(refusing(batch, "NO_SUCH_RESOURCE"))
            self._ledger.billed += json.loads(batch.body, parse_float=Decimal)["events"][1:]
        return await super().send_usage(batch)


@asynccontextmanager
async def mixed(build: Callable[..., Any]) -> AsyncIterator[Any]:
    """Synced, dead, conflicting, repeated, local, ambiguous, pending and spooled events, over two days."""
    billing = Picky()
    async with build(billing) as rig:
        await rig.record(3, quantity=Decimal("0.1"))
        await rig.record(
            2, event_type="storage_gb_days", quantity=Decimal("0.000000001"), event_time=str(START)[:10] + "T00:00:00Z"
        )
        await rig.record(2, billable=False, event_time=(START - timedelta(days=1)).isoformat())
        keyed = {"dedupe_key": "k", "event_time": START.isoformat()}
        for quantity in (1, 1, 2):  # the same again, and then another body under its id
            await rig.metering.record({"event_type": "sms_sent", "quantity": quantity} | keyed)
        await rig.delivery.flush()
        billing.picky = True
        await rig.record(4, event_type="llm_tokens", quantity=7)
        await rig.delivery.flush()
        billing.picky = False
        await rig.record(2, event_type="email_sent")
        await rig.delivery.drain()
        await rig.record(1)
        yield rig


async def test_everything_is_accounted_for_after_a_mix_of_everything(build, prove) -> None:
    async with mixed(build) as rig:
        prover = prove(rig)
        assert await prover.findings() == []
        assert await prover.fates() == {
            "synced": 3 + 2 + 1 + 3,
            "local": 2,
            "duplicate": 1,
            "dead": 2,
            "pending": 2,
            "spooled": 1,
        }
        accepted = sum(line.accepted.events for line in await prover.lines())
        assert accepted == rig.query("SELECT max(drained_seq) AS n FROM agent_streams")[0]["n"] + 1


async def test_what_is_in_doubt_is_shown_as_that(build, prove) -> None:
    billing = FakeBilling()
    billing.classic()
    async with build(billing, dialect=None) as rig:
        billing.reply_to_usage(LOST)
        await rig.record(2, event_type="email_sent")
        await rig.delivery.flush()
        prover = prove(rig)
        assert await prover.fates() == {"ambiguous": 2}
        assert await prover.findings() == []


async def test_nothing_at_all_is_sound(build, prove) -> None:
    async with build(FakeBilling()) as rig:
        assert await prove(rig).findings() == []


ONE = "(SELECT event_id FROM usage_events WHERE state = 'synced' AND event_type = 'api_call' ORDER BY event_id LIMIT 1)"
DAMAGE = {
    "a quantity": (
        "UPDATE usage_events SET quantity = 5 WHERE event_id = ONE",
        {"EVENT_DIFFERS", "SUM_DIFFERS", "TOTAL_DIFFERS"},
    ),
    "a tenant": (
        "UPDATE usage_events SET tenant_id = 'x' WHERE event_id = ONE",
        {"EVENT_DIFFERS", "MISSING", "SURPLUS", "TOTAL_DIFFERS"},
    ),
    "a resource": ("UPDATE usage_events SET resource_id = 'x' WHERE event_id = ONE", {"EVENT_DIFFERS"}),
    "text and column of a delivered event": (
        r"""UPDATE usage_events
        SET resource_id = 'x', canonical = regexp_replace(canonical, '"r\d"', '"x"') WHERE event_id = ONE""",
        {"BATCH_DIFFERS"},
    ),
    "metadata alone": (
        """UPDATE usage_events SET canonical = replace(canonical, '{}', '{"a":1}') WHERE event_id = ONE""",
        {"BATCH_DIFFERS"},
    ),
    "a text to what is no JSON": (
        "UPDATE usage_events SET canonical = canonical || 'x' WHERE event_id = ONE",
        {"EVENT_DIFFERS", "BATCH_DIFFERS"},
    ),
    "a text to another document": (
        """UPDATE usage_events SET canonical = '[",\"event_id\":\""]' WHERE event_id = ONE""",
        {"EVENT_DIFFERS", "BATCH_DIFFERS"},
    ),
    "a row is gone": ("DELETE FROM usage_events WHERE event_id = ONE", {"MISSING", "TOTAL_DIFFERS"}),
    "a pending row is gone": ("DELETE FROM usage_events WHERE state = 'pending'", {"MISSING", "TOTAL_DIFFERS"}),
    "a repeat is gone": ("DELETE FROM usage_duplicates", {"MISSING"}),
    "a total": ("UPDATE usage_totals SET quantity = quantity + 1 WHERE meter = 'sms_sent'", {"TOTAL_DIFFERS"}),
    "a total is gone": ("DELETE FROM usage_totals WHERE meter = 'sms_sent'", {"TOTAL_DIFFERS"}),
    "arrivals": ("UPDATE usage_arrivals SET events = events + 1 WHERE meter = 'sms_sent'", {"ARRIVALS_DIFFER"}),
    "a letter of an event": ("DELETE FROM usage_dead_letters WHERE code = 'NO_SUCH_RESOURCE'", {"LETTER_MISSING"}),
    "a letter of no event": ("DELETE FROM usage_dead_letters WHERE code = 'IDEMPOTENCY_CONFLICT'", {"MISSING"}),
    "a seq": ("UPDATE usage_events SET seq = seq + 1 WHERE event_id = ONE", {"PLACE_TWICE", "BATCH_DIFFERS"}),
    "a seq far ahead": (
        "UPDATE usage_events SET seq = seq + 1000 WHERE event_id = ONE",
        {"PLACE_AHEAD", "BATCH_DIFFERS"},
    ),
    "a batch is gone": (
        "DELETE FROM usage_batches WHERE batch_id = (SELECT batch_id FROM usage_batches ORDER BY batch_id LIMIT 1)",
        {"CHAIN_BROKEN", "BATCH_MISSING"},
    ),
    "a digest": ("UPDATE usage_batches SET sha256 = sha256(sha256)", {"CHAIN_BROKEN", "BATCH_DIFFERS"}),
    "a link": ("UPDATE usage_batches SET prev_sha256 = sha256(sha256) WHERE prev_sha256 IS NOT NULL", {"CHAIN_BROKEN"}),
    "the end of the chain": ("UPDATE agent_streams SET sealed_sha256 = sha256(sealed_sha256)", {"CHAIN_BROKEN"}),
}


@pytest.mark.parametrize(("statement", "faults"), DAMAGE.values(), ids=DAMAGE)
async def test_damage_is_found(build, prove, statement: str, faults: set[str]) -> None:
    async with mixed(build) as rig:
        rig.execute(statement.replace("ONE", ONE))
        found = await prove(rig).findings()
        assert {str(finding.fault) for finding in found} == faults
        assert all(finding.subject and finding.detail and finding.fault.fix for finding in found)


CHANGED = "its body is not the one that was sealed: the digest differs"
OPEN = {
    "its body": (
        "UPDATE usage_batches SET body = convert_to(replace(convert_from(body, 'UTF8'), 'r0', 'r9'), 'UTF8')",
        CHANGED,
    ),
    "all of its body": ("UPDATE usage_batches SET body = 'x'", CHANGED),
    "the head of its body": (
        """UPDATE usage_batches
        SET body = convert_to(replace(convert_from(body, 'UTF8'), '"count":3', '"count":4'), 'UTF8')""",
        "its events are not those in its body",
    ),
    "body and digest": (
        "UPDATE usage_batches SET body = '{\"events\":[]}', sha256 = sha256('[]')",
        "its events are not those in its body",
    ),
    "an event is gone": (
        "DELETE FROM usage_events WHERE event_id = (SELECT event_id FROM usage_events LIMIT 1)",
        "3 events were sealed, 2 are there",
    ),
}


@pytest.mark.parametrize(("statement", "detail"), OPEN.values(), ids=OPEN)
async def test_damage_to_a_batch_on_its_way_is_found(build, prove, statement: str, detail: str) -> None:
    billing = FakeBilling()
    billing.offline()
    async with build(billing) as rig:
        await rig.record(3)
        await rig.delivery.flush()
        prover = prove(rig)
        assert await prover.findings() == []
        rig.execute(statement)
        found = [one for one in await prover.findings() if one.fault == "BATCH_DIFFERS"]
        assert [one.detail for one in found] == [detail]


async def test_a_thousand_and_more_batches_and_rows_are_all_looked_at(build, prove) -> None:
    async with build(FakeBilling(), batch_size=20) as rig:
        for _ in range(3):
            await rig.record(700)
        await rig.delivery.flush()
        prover = prove(rig)
        first = await prover.proof.verification.batches(after=None)
        assert (first.batches, first.last is None) == (50, False)
        day = (await prover.proof.verification.outline()).days[0]
        assert (await prover.proof.verification.day(day)).rows == 2100
        rig.execute("UPDATE usage_events SET resource_id = 'x' WHERE seq = 2050")
        assert [finding.fault for finding in await prover.findings()] == ["EVENT_DIFFERS"]


async def test_while_usage_goes_on_verification_is_exact(build, prove) -> None:
    async with build(FakeBilling()) as rig:
        prover = prove(rig)
        for _ in range(5):
            await rig.record(10)
            assert await prover.findings() == []
            await rig.delivery.drain()
            assert await prover.findings() == []
            await rig.delivery.sync()


async def test_a_drainer_that_cannot_be_met_is_said(build, prove) -> None:
    async with build(FakeBilling()) as rig:
        await rig.record(1)
        await rig.delivery.drain()
        rig.execute("UPDATE agent_streams SET drained_seq = drained_seq + 5")
        with pytest.raises(UnavailableError, match="faster"):
            await prove(rig).proof.verification.day(START.date())
