"""The judge can say no: to a lost event, one billed twice, an altered one, a wrong sum, and a stranger."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.torture.judge import Evidence, Seen, Sum, add_up, seen, seen_in, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNT = ("demo", "api_call")


def event(number: int, **fields: object) -> dict[str, object]:
    return {
        "tenant_id": "demo",
        "event_type": "api_call",
        "resource_id": f"mark-{number}",
        "quantity": f"{number}.5",
        "unit": "calls",
        "event_time": "2027-03-01T12:00:00+00:00",
        "metadata": {"n": number, "share": 0.25},
        **fields,
    }


def offers(*numbers: int) -> dict[str, Seen]:
    return {one.mark: one for one in (seen(json.dumps(event(number))) for number in numbers)}


def delivered(number: int, **fields: object) -> Seen:
    return seen_in(event(number, event_id=f"id-{number}") | fields)


def good() -> Evidence:
    """Four events: two billed, one dead, one held; a fifth was not acknowledged, and billed."""
    billed = [delivered(1), delivered(2), delivered(5)]
    dead, held = [delivered(3)], [delivered(4)]
    return Evidence(
        offered=offers(1, 2, 3, 4, 5),
        acknowledged={f"mark-{number}": f"id-{number}" for number in (1, 2, 3, 4)},
        billed=billed,
        dead=dead,
        held=held,
        totals=add_up(billed),
        recorded=add_up([*billed, *dead, *held]),
    )


def without_one_billed(evidence: Evidence) -> Evidence:
    billed = evidence.billed[1:]
    return replace(evidence, billed=billed, totals=add_up(billed), recorded=None)


def billed_too(evidence: Evidence, *more: Seen) -> Evidence:
    billed = [*evidence.billed, *more]
    return replace(evidence, billed=billed, totals=add_up(billed), recorded=None)


def altered(evidence: Evidence, **fields: object) -> Evidence:
    billed = [delivered(1, **fields), *evidence.billed[1:]]
    return replace(evidence, billed=billed, totals=add_up(billed), recorded=None)


def wrong_total(evidence: Evidence) -> Evidence:
    return replace(evidence, totals={ACCOUNT: Sum(3, Decimal("9.500000001"))})


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert verdicts(good()) == []


@pytest.mark.parametrize(
    ("spoil", "verdict"),
    [
        pytest.param(without_one_billed, "lost: 1 acknowledged events", id="lost"),
        pytest.param(lambda e: replace(e, held=[], recorded=None), "lost: 1 acknowledged events", id="held nowhere"),
        pytest.param(lambda e: billed_too(e, delivered(2)), "billed 2 times: id-2", id="billed twice"),
        pytest.param(
            lambda e: billed_too(e, delivered(2, event_id="other")), "billed 2 times: mark-2", id="under two ids"
        ),
        pytest.param(lambda e: billed_too(e, delivered(3)), "billed, and a dead letter: mark-3", id="billed and dead"),
        pytest.param(lambda e: billed_too(e, delivered(9)), "never offered: mark-9", id="a stranger"),
        pytest.param(lambda e: altered(e, quantity="1.500000001"), "altered: mark-1", id="quantity"),
        pytest.param(lambda e: altered(e, metadata={"n": 1, "share": 0.5}), "altered: mark-1", id="metadata"),
        pytest.param(lambda e: altered(e, event_time="2027-03-01T12:00:01Z"), "altered: mark-1", id="time"),
        pytest.param(lambda e: altered(e, event_id="id-7"), "under another id", id="other id"),
        pytest.param(wrong_total, "the service's totals", id="the service adds up wrongly"),
        pytest.param(
            lambda e: replace(e, recorded=add_up(e.billed)), "the agent's totals", id="the agent adds up wrongly"
        ),
    ],
)
def test_it_says_what_is_wrong(spoil: Callable[[Evidence], Evidence], verdict: str) -> None:
    assert any(verdict in said for said in verdicts(spoil(good())))


def test_what_the_agent_says_it_lost_is_no_secret_loss() -> None:
    gone = without_one_billed(good())
    lost = {ACCOUNT: Sum(1, Decimal("1.5"))}
    assert verdicts(replace(gone, lost=lost)) == []
    assert verdicts(replace(gone, lost={("demo", "llm_tokens"): Sum(1, Decimal("1.5"))})) != []


def test_the_same_event_is_the_same_however_it_is_written() -> None:
    text = (
        '{"metadata":{"share":0.250,"n":1},"event_time":"2027-03-01T13:00:00+01:00","unit":"calls","quantity":1.50,'
        '"resource_id":"mark-1","event_type":"api_call","tenant_id":"demo"}'
    )
    assert seen(text) == offers(1)["mark-1"]
