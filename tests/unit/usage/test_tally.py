from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.tally import add_up, tally
from tapi_agent.domain.usage import UsageTotal


def text(quantity: str, *, tenant: str = "t", day: str = "2027-03-01", **more: object) -> str:
    event = {"tenant_id": tenant, "event_type": "llm_tokens", "unit": "tokens", "event_time": f"{day}T23:59:59.9Z"}
    return json.dumps(event | more)[:-1] + f',"quantity":{quantity}}}'


def total(events: int, quantity: str, local: int = 0, local_quantity: str = "0", **other: object) -> UsageTotal:
    place = {"tenant_id": TenantId("t"), "meter": "llm_tokens", "unit": "tokens", "day": date(2027, 3, 1)}
    return UsageTotal(
        **place | other,  # type: ignore[arg-type]
        events=events,
        quantity=Decimal(quantity),
        local_events=local,
        local_quantity=Decimal(local_quantity),
    )


def test_sums_are_exact_and_by_place() -> None:
    texts = [
        text("999999999999999999.999999999"),
        text("0.000000001"),
        text("-3"),
        text("2", billable=False),
        text("1", tenant="s"),
        text("1", day="2027-03-02"),
    ]
    assert tally(texts) == [
        total(1, "1", tenant_id=TenantId("s")),
        total(3, "999999999999999997", 1, "2"),
        total(1, "1", day=date(2027, 3, 2)),
    ]


def test_parts_add_up() -> None:
    other_day = total(1, "1", day=date(2027, 3, 2))
    assert add_up([total(1, "0.1"), other_day], [], [total(2, "0.2", 1, "5")]) == [total(3, "0.3", 1, "5"), other_day]
    assert add_up() == tally([]) == []
