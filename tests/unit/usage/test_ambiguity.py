from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tapi_agent.domain.ambiguity import MeterSum, Span, Storage, weigh
from tapi_agent.domain.ids import TenantId

AT = datetime(2027, 3, 1, tzinfo=UTC)


def meter(
    name: str = "api_call", *, batch: str = "5", known: str = "0", others: str = "0", clear: bool = True
) -> MeterSum:
    return MeterSum(meter=name, batch=Decimal(batch), known=Decimal(known), others=Decimal(others), clear=clear)


def span(*meters: MeterSum) -> Span:
    return Span(tenant_id=TenantId("t"), first=AT, last=AT, meters=meters)


def sums(**fields: str) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in fields.items()}


CASES = {
    "with the batch": (span(meter(known="7")), sums(api_calls="12"), Storage.STORED),
    "without it": (span(meter(known="7")), sums(api_calls="7"), Storage.NOT_STORED),
    "neither": (span(meter(known="7")), sums(api_calls="9"), Storage.UNDECIDED),
    "a correction": (span(meter(batch="-5", known="7")), sums(api_calls="2"), Storage.STORED),
    "not shown by the service": (span(meter("email_sent")), sums(api_calls="0"), Storage.UNDECIDED),
    "shown by some services only": (span(meter("sms_sent")), sums(api_calls="0"), Storage.UNDECIDED),
    "one meter that is shown is enough": (
        span(meter("email_sent"), meter(known="1")), sums(api_calls="6"), Storage.STORED,
    ),
    "meters that contradict each other": (
        span(meter(), meter("sms_sent")), sums(api_calls="5", sms_sent="0"), Storage.UNDECIDED,
    ),
    "one agrees, one is off": (
        span(meter(), meter("sms_sent")), sums(api_calls="5", sms_sent="3"), Storage.UNDECIDED,
    ),
    "others in doubt lie within": (span(meter(clear=False)), sums(api_calls="5"), Storage.UNDECIDED),
    "all that are in doubt": (span(meter(known="7", others="9")), sums(api_calls="21"), Storage.STORED),
    "none that is in doubt": (span(meter(known="7", others="9")), sums(api_calls="7"), Storage.NOT_STORED),
    "some that are in doubt": (span(meter(known="7", others="9")), sums(api_calls="12"), Storage.UNDECIDED),
    "it weighs nothing, others do": (span(meter(batch="0", others="9")), sums(api_calls="0"), Storage.UNDECIDED),
    "it weighs less than is shown, others do not": (
        span(meter(batch="0.4", others="9")), sums(api_calls="9"), Storage.UNDECIDED,
    ),
    "nothing by which to tell": (span(meter(batch="0")), sums(api_calls="0"), Storage.UNDECIDED),
    "less than the service shows": (span(meter(batch="0.4", known="2")), sums(api_calls="2"), Storage.UNDECIDED),
    "counts are cut": (span(meter(batch="1.5", known="1.5")), sums(api_calls="3"), Storage.STORED),
    "cut towards zero": (span(meter(batch="-3", known="0.5")), sums(api_calls="-2"), Storage.STORED),
    "gigabytes are exact": (
        span(meter("storage_gb_days", batch="0.25", known="1.5")), sums(storage_gb_days="1.75"), Storage.STORED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("known", "reported", "storage"), CASES.values(), ids=CASES.keys())
def test_what_the_sums_say(known: Span, reported: dict[str, Decimal], storage: Storage) -> None:
    assert weigh([(known, reported)], partial=False) is storage


def test_every_tenant_has_its_say() -> None:
    stored, missing = sums(api_calls="5"), sums(api_calls="0")
    assert weigh([(span(meter()), stored), (span(meter()), stored)], partial=False) is Storage.STORED
    assert weigh([(span(meter()), stored), (span(meter()), missing)], partial=False) is Storage.UNDECIDED


@pytest.mark.parametrize(
    ("known", "reported", "storage"),
    [
        (span(meter()), sums(api_calls="5"), Storage.STORED),
        (span(meter()), sums(api_calls="0"), Storage.UNDECIDED),
        (span(meter(), meter("email_sent")), sums(api_calls="5"), Storage.UNDECIDED),
        (span(), {}, Storage.UNDECIDED),
    ],
)
def test_a_part_is_never_taken_for_nothing(known: Span, reported: dict[str, Decimal], storage: Storage) -> None:
    assert weigh([(known, reported)], partial=True) is storage
