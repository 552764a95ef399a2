"""The quota routes over the real socket, on a real PostgreSQL: exact amounts, refusals, requests that arrive twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tapi_agent.client import AgentClient
from tapi_agent.domain.errors import RejectedError
from tapi_agent.domain.quota import QuotaRule
from tapi_agent.plugin.base_catalog import METERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from tests.integration.api.conftest import LiveAgent

RULES = [QuotaRule(meter="llm_tokens", limit=1000), QuotaRule(meter="api_call", limit=10, soft=True)]


def limit(live: LiveAgent) -> None:
    async def apply() -> None:
        live.context.quotas.apply(RULES, {meter.key: meter for meter in METERS})
        await live.context.quotas.look()

    live.run(apply())


@pytest.fixture
def limited(full: LiveAgent) -> LiveAgent:
    """An agent with everything up, and 1000 tokens a month."""
    limit(full)
    return full


@pytest.fixture
def http(limited: LiveAgent) -> Iterator[httpx.Client]:
    with limited.http() as client:
        yield client


@pytest.fixture
def steady_http(steady: LiveAgent) -> Iterator[httpx.Client]:
    """Of an agent whose PostgreSQL is down: enough where nothing is limited."""
    with steady.http() as client:
        yield client


def ask(http: httpx.Client, call: str, key: str | None = None, **document: object) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return http.post(f"/api/v1/quota/{call}", json=document, headers=headers)


def reserve(http: httpx.Client, amount: object = 100, key: str | None = None, **more: object) -> dict[str, Any]:
    reply = ask(http, "reserve", key, **{"meter": "llm_tokens", "amount": amount} | more)
    assert reply.status_code == 200, reply.text
    return reply.json()


def standing(http: httpx.Client, meter: str = "llm_tokens") -> dict[str, Any]:
    quotas = http.get("/api/v1/quota").json()["quotas"]
    return next(one for one in quotas if one["meter"] == meter)


def figures(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["used"], one["reserved"], one["remaining"]


def changed(real: str) -> str:
    """Another letter in the middle."""
    middle = len(real) // 2
    return real[:middle] + ("A" if real[middle] != "A" else "B") + real[middle + 1 :]


def test_reserved_then_used_in_part(http: httpx.Client, limited: LiveAgent) -> None:
    granted = reserve(http, 300, camera_id="gate")
    assert granted["granted"]
    assert (granted["amount"], granted["unit"], granted["reason"]) == ("300", "tokens", None)
    assert (granted["quota"]["limit"], granted["quota"]["remaining"]) == ("1000", "700")
    assert figures(standing(http)) == ("0", "300", "700")
    done = ask(http, "commit", reservation_id=granted["reservation_id"], actual=120, resource_id="gpt").json()
    assert done["seq"] == 1
    assert figures(standing(http)) == ("120", "0", "880")
    http.post("/api/v1/usage/flush")
    (event,) = limited.billing.billed
    said = {name: event[name] for name in ("event_id", "camera_id", "resource_id", "event_type")}
    assert said == {
        "event_id": done["event_id"],
        "camera_id": "gate",
        "resource_id": "gpt",
        "event_type": "llm_tokens",
    }
    assert event["quantity"] == 120


def test_released_nothing_was_used(http: httpx.Client) -> None:
    held = reserve(http)["reservation_id"]
    for _ in range(2):
        reply = ask(http, "release", reservation_id=held)
        assert (reply.status_code, reply.json()["released"]) == (200, True)
    assert figures(standing(http)) == ("0", "0", "1000")


def test_denied_is_an_answer_with_the_figures_and_the_remedy(http: httpx.Client) -> None:
    reserve(http, 900)
    denied = reserve(http, 101)
    assert not denied["granted"]
    assert (denied["reason"], denied["reservation_id"], denied["expires_at"]) == ("QUOTA_EXCEEDED", None, None)
    assert (denied["quota"]["limit"], denied["quota"]["remaining"]) == ("1000", "100")
    assert denied["detail"]
    assert denied["fix"]
    assert isinstance(denied["retryable"], bool)
    assert reserve(http, 100)["granted"]
    assert set(denied) == set(reserve(http, 1, meter="api_call"))


@pytest.mark.parametrize(
    ("amount", "kept"),
    [("1.50", "1.5"), (1.5, "1.5"), ("1e2", "100"), ("1000", "1000"), (1000.0, "1000"), ("0.001", "0.001")],
    ids=str,
)
def test_an_amount_is_exact_and_without_exponent(steady_http: httpx.Client, amount: object, kept: str) -> None:
    assert reserve(steady_http, amount, meter="sms_sent")["amount"] == kept


@pytest.mark.parametrize(
    ("call", "document", "code", "pointer"),
    [
        ("reserve", {"meter": "llm_tokens"}, "missing", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": 0}, "OUT_OF_RANGE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": -1}, "OUT_OF_RANGE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": True}, "WRONG_TYPE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": "many"}, "WRONG_TYPE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": "inf"}, "NOT_FINITE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": "1e18"}, "OUT_OF_RANGE", "#/amount"),
        ("reserve", {"meter": "llm_tokens", "amount": "0.0000000001"}, "NOT_EXACT", "#/amount"),
        ("reserve", {"meter": "nope", "amount": 1}, "UNKNOWN_METER", "#/meter"),
        ("reserve", {"meter": 5, "amount": 1}, "string_type", "#/meter"),
        ("reserve", {"meter": "llm_tokens", "amount": 1, "ttl_s": 0}, "greater_than", "#/ttl_s"),
        ("reserve", {"meter": "llm_tokens", "amount": 1, "ttl_s": 601}, "less_than_equal", "#/ttl_s"),
        ("reserve", {"meter": "llm_tokens", "amount": 1, "camera_id": "x" * 129}, "string_too_long", "#/camera_id"),
        ("reserve", {"meter": "llm_tokens", "amount": 1, "camera_id": "a\0"}, "BAD_TEXT", "#/camera_id"),
        ("reserve", {"meter": "llm_tokens", "amount": 1, "tenant": "x"}, "extra_forbidden", "#/tenant"),
        ("commit", {"reservation_id": "r"}, "missing", "#/actual"),
        ("commit", {"reservation_id": 1, "actual": 1}, "string_type", "#/reservation_id"),
        ("release", {}, "missing", "#/reservation_id"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    steady_http: httpx.Client, call: str, document: dict[str, object], code: str, pointer: str
) -> None:
    reply = ask(steady_http, call, **document)
    assert reply.status_code == 400
    problem = reply.json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer)


@pytest.mark.parametrize(
    ("wrong", "code", "pointer"),
    [
        ({"actual": "some"}, "WRONG_TYPE", "#/actual"),
        ({"actual": -1}, "NEGATIVE", "#/actual"),
        ({"actual": 1, "metadata": {"x": "a\0"}}, "BAD_TEXT", "#/metadata/x"),
    ],
    ids=["no number", "negative", "bad text"],
)
def test_a_commit_that_is_refused_can_be_corrected(
    http: httpx.Client, wrong: dict[str, object], code: str, pointer: str
) -> None:
    held = reserve(http)["reservation_id"]
    reply = ask(http, "commit", reservation_id=held, **wrong)
    assert (reply.status_code, reply.json()["code"]) == (400, code)
    assert reply.json()["errors"][0]["pointer"] == pointer
    assert ask(http, "commit", reservation_id=held, actual=2).status_code == 200
    assert figures(standing(http)) == ("2", "0", "998")


@pytest.mark.parametrize("call", ["commit", "release"])
@pytest.mark.parametrize(
    "spoil",
    [lambda _: "", lambda _: "r1", lambda _: "é", lambda real: real * 100, lambda real: real[::-1], changed],
    ids=["empty", "short", "not ascii", "long", "backwards", "one letter"],
)
def test_an_id_that_this_device_did_not_give_is_refused(steady_http: httpx.Client, call: str, spoil: Any) -> None:
    forged = spoil(reserve(steady_http, meter="sms_sent")["reservation_id"])
    reply = ask(steady_http, call, reservation_id=forged, **({"actual": 1} if call == "commit" else {}))
    assert (reply.status_code, reply.json()["code"]) == (404, "reservation_unknown")


def test_a_commit_sent_again_counts_once_and_another_amount_is_refused(http: httpx.Client) -> None:
    held = reserve(http)["reservation_id"]
    first, again = (ask(http, "commit", reservation_id=held, actual="99.5").json()["event_id"] for _ in range(2))
    assert first == again
    reply = ask(http, "commit", reservation_id=held, actual=99)
    assert (reply.status_code, reply.json()["code"]) == (409, "reservation_committed")
    assert figures(standing(http)) == ("99.5", "0", "900.5")


def test_more_was_used_than_reserved(http: httpx.Client) -> None:
    ask(http, "commit", reservation_id=reserve(http)["reservation_id"], actual=1100)
    assert figures(standing(http)) == ("1100", "0", "0")
    assert not reserve(http, 1)["granted"]


def test_a_soft_quota_says_that_more_is_billed_on_top(http: httpx.Client) -> None:
    assert not reserve(http, 10, meter="api_call")["overage"]
    beyond = reserve(http, 3, meter="api_call")
    assert (beyond["granted"], beyond["overage"]) == (True, True)
    ask(http, "commit", reservation_id=beyond["reservation_id"], actual=12)
    assert standing(http, "api_call")["overage"] == "2"


def test_a_meter_without_a_quota_is_granted_and_recorded(http: httpx.Client) -> None:
    granted = reserve(http, 5, meter="sms_sent")
    assert (granted["granted"], granted["quota"]) == (True, None)
    assert ask(http, "commit", reservation_id=granted["reservation_id"], actual=5).status_code == 200


def test_the_same_request_under_a_key_is_one_reservation(http: httpx.Client) -> None:
    first, again = reserve(http, 100, key="k"), reserve(http, "100.0", key="k")
    assert again == first
    assert reserve(http, 100, key="k2")["reservation_id"] != first["reservation_id"]
    assert standing(http)["reserved"] == "200"


def test_another_request_under_a_key_is_refused(http: httpx.Client) -> None:
    reserve(http, 100, key="k")
    reply = ask(http, "reserve", "k", meter="llm_tokens", amount=101)
    assert (reply.status_code, reply.json()["code"]) == (409, "idempotency_conflict")
    assert reply.json()["fix"]
    assert standing(http)["reserved"] == "100"


def test_a_request_that_arrives_twice_at_once_is_one_reservation(limited: LiveAgent, http: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: reserve(http, 100, key="k"), range(16)))
    assert len({answer["reservation_id"] for answer in answers}) == 1
    assert standing(http)["reserved"] == "100"


def test_a_key_is_free_again_after_a_denial_and_after_the_reservation(limited: LiveAgent, http: httpx.Client) -> None:
    held = reserve(http, 1000, key="k", ttl_s=5)["reservation_id"]
    assert not reserve(http, 1, key="other")["granted"]
    limited.machine.advance(timedelta(seconds=6))
    again = reserve(http, 1000, key="k", ttl_s=5)
    assert again["granted"]
    assert again["reservation_id"] != held
    ask(http, "release", reservation_id=again["reservation_id"])
    assert reserve(http, 1, key="other")["granted"]


def test_without_postgresql_what_is_not_in_hand_is_denied_for_now(live: LiveAgent) -> None:
    limit(live)
    with live.http() as http:
        denied = reserve(http, 100)
        assert (denied["granted"], denied["reason"], denied["retryable"]) == (False, "QUOTA_UNAVAILABLE", True)
        assert denied["fix"]
        document = http.get("/api/v1/quota").json()
    assert not document["complete"]
    assert [one["meter"] for one in document["quotas"]] == ["api_call", "llm_tokens"]


def test_an_application_spends(limited: LiveAgent, http: httpx.Client) -> None:
    client = AgentClient(limited.socket)
    with client.spending("llm_tokens", 600, camera_id="gate") as spending:
        assert standing(http)["reserved"] == "600"
        spending.actual = Decimal("512.25")
    assert figures(standing(http)) == ("512.25", "0", "487.75")
    with pytest.raises(RejectedError, match="llm_tokens") as caught, client.spending("llm_tokens", 600):
        pass
    assert caught.value.code == "QUOTA_EXCEEDED"
    assert figures(standing(http)) == ("512.25", "0", "487.75")
