"""A reply that is lost: what dedupes gets the same bytes again, what does not is asked first."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from typing_extensions import override

from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.domain.errors import IntegrityError, RejectedError
from tapi_agent.testing.billing import FakeBilling

if TYPE_CHECKING:
    from tapi_agent.domain.delivery import WireBatch

LOST = UsageReply(failure=TransportFailure.RESET, written=True)


class Forgetful(FakeBilling):
    """Loses the replies to the next batches: ``losses`` says of each whether it was "stored" or "not stored"."""

    def __init__(self, *losses: str) -> None:
        super().__init__()
        self.losses = list(losses)

    @override
    async def send_usage(self, batch: WireBatch) -> UsageReply:
        match self.losses.pop(0) if self.losses else "":
            case "stored":
                self.lose_next_reply()
            case "not stored":
                self.reply_to_usage(LOST)
        return await super().send_usage(batch)


def times(billing: FakeBilling) -> Counter[str]:
    return Counter(str(event["event_id"]) for event in billing.billed)


async def test_a_service_known_to_dedupe_gets_the_same_bytes_again(build) -> None:
    billing = Forgetful()
    async with build(billing) as rig:
        await rig.record(1)
        await rig.delivery.flush()
        billing.losses = ["stored", "not stored", "stored"]
        await rig.record(5)
        await rig.until(lambda: rig.states() == {"synced": 6})
        assert times(billing) == Counter(rig.recorded)
        assert len(billing.sent) == 5
        assert len({(sent.batch_id, sent.body) for sent in billing.sent}) == 2
        assert not [batch for batch in rig.batches() if batch["state"] == "ambiguous"]


@pytest.mark.parametrize("loss", ["stored", "not stored"])
async def test_a_service_of_which_nothing_is_known_is_asked_for_the_batch(build, loss: str) -> None:
    billing = Forgetful(loss)
    async with build(billing) as rig:
        await rig.record(5)
        report = await rig.delivery.flush()
        assert (report.ambiguous, rig.states()) == (5, {"sealed": 5})
        assert (await rig.delivery.backlog()).ambiguous == 5
        await rig.until(lambda: rig.states() == {"synced": 5})
        assert times(billing) == Counter(rig.recorded)
        assert len(billing.sent) == (1 if loss == "stored" else 2)


@pytest.mark.parametrize("loss", ["stored", "not stored"])
async def test_a_classic_service_is_asked_for_its_sums(build, loss: str) -> None:
    billing = Forgetful()
    billing.classic()
    async with build(billing) as rig:
        await rig.record(5)
        await rig.delivery.flush()
        billing.losses = [loss]
        await rig.record(5)
        await rig.until(lambda: rig.states() == {"synced": 10})
        assert times(billing) == Counter(rig.recorded)
        assert len(billing.sent) == (2 if loss == "stored" else 3)


async def test_a_batch_that_no_sum_can_tell_is_held_and_shown(build) -> None:
    billing = Forgetful("stored")
    billing.classic()
    async with build(billing) as rig:
        await rig.record(5, event_type="email_sent")
        await rig.delivery.flush()
        await rig.record(3)
        await rig.until(lambda: rig.states() == {"synced": 3, "sealed": 5})
        for _ in range(20):
            rig.clock.machine.advance(timedelta(seconds=1))
            await rig.delivery.sync()
        assert len(billing.sent) == 2
        assert (await rig.delivery.backlog()).ambiguous == 5
        assert rig.states() == {"synced": 3, "sealed": 5}


async def test_it_is_sent_again_on_a_guess_only_when_the_operator_says_so(build) -> None:
    billing = Forgetful("not stored")
    billing.classic()
    async with build(billing, resend_unknown=True) as rig:
        await rig.record(5, event_type="email_sent")
        await rig.until(lambda: rig.states() == {"synced": 5})
        assert times(billing) == Counter(rig.recorded)


async def test_before_the_request_may_have_died_out_nothing_is_asked(build) -> None:
    billing = Forgetful("not stored")
    billing.classic()
    async with build(billing, quiet=timedelta(minutes=1)) as rig:
        await rig.record(5)
        await rig.delivery.flush()
        for _ in range(5):
            rig.clock.machine.advance(timedelta(seconds=1))
            await rig.delivery.sync()
        assert rig.states() == {"sealed": 5}
        rig.execute("UPDATE usage_batches SET next_attempt_at = now()")
        await rig.until(lambda: rig.states() == {"synced": 5})
        assert times(billing) == Counter(rig.recorded)


async def test_a_part_that_was_stored_is_never_sent_again(build) -> None:
    billing = Forgetful()
    billing.classic()
    reply = UsageReply(status=200, body=b'{"accepted_count": 2, "rejected_count": 3}', content_type="application/json")
    billing.reply_to_usage(reply)
    async with build(billing, resend_unknown=True) as rig:
        await rig.record(5)
        for _ in range(10):
            await rig.delivery.flush()
        assert (len(billing.sent), rig.states()) == (1, {"sealed": 5})
        (batch,) = rig.batches()
        assert (batch["state"], batch["partial"]) == ("ambiguous", True)
        assert rig.delivery.paused is None


async def test_a_doubt_is_over_when_the_service_turns_out_to_dedupe(build) -> None:
    billing = Forgetful("stored")
    async with build(billing, quiet=timedelta(hours=1)) as rig:
        await rig.record(5)
        await rig.delivery.flush()
        await rig.record(1)
        await rig.until(lambda: rig.states() == {"sealed": 5, "synced": 1})
        rig.execute("UPDATE usage_batches SET next_attempt_at = now()")
        await rig.until(lambda: rig.states() == {"synced": 6})
        assert times(billing) == Counter(rig.recorded)
        assert billing.sent[0].body == billing.sent[-1].body


async def test_while_the_service_cannot_be_asked_the_doubt_stays(build) -> None:
    billing = Forgetful("stored")
    billing.classic()
    async with build(billing, resend_unknown=True) as rig:
        await rig.record(5)
        await rig.delivery.flush()
        billing.offline()
        for _ in range(5):
            await rig.delivery.sync()
        assert rig.states() == {"sealed": 5}
        billing.online()
        await rig.until(lambda: rig.states() == {"synced": 5})
        assert times(billing) == Counter(rig.recorded)


class Mute(Forgetful):
    """Has no sums to tell."""

    error: Exception = RejectedError("no such call", code="not_found")

    @override
    async def usage_sums(self, *_: object, **__: object) -> dict[str, object]:  # type: ignore[override]
        raise self.error


@pytest.mark.parametrize("error", [Mute.error, IntegrityError("garbled")], ids=["no such call", "garbled"])
async def test_a_service_without_sums_leaves_the_batch_held(build, error: Exception) -> None:
    billing = Mute("stored")
    billing.classic()
    billing.error = error
    async with build(billing) as rig:
        await rig.record(5)
        for _ in range(5):
            await rig.delivery.flush()
        assert (len(billing.sent), rig.states()) == (1, {"sealed": 5})


async def test_two_batches_in_doubt_over_the_same_time_are_both_held(build) -> None:
    billing = Forgetful("stored", "not stored")
    billing.classic()
    async with build(billing, batch_size=5, quiet=timedelta(hours=1)) as rig:
        await rig.record(10, event_time="2027-03-01T12:00:00Z")
        await rig.until(lambda: len(billing.sent) == 2)
        for _ in range(5):
            rig.execute("UPDATE usage_batches SET next_attempt_at = now()")
            await rig.delivery.sync()
        assert len(billing.sent) == 2
        assert [batch["state"] for batch in rig.batches()] == ["ambiguous", "ambiguous"]
        assert rig.states() == {"sealed": 10}
