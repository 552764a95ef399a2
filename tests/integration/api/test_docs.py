"""docs/api.md against the program: every route is there, and every example has the fields of a real reply."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tapi_agent.api.app import ROOMS
from tapi_agent.domain.delivery import TransportFailure, UsageReply
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    import httpx
    from tests.integration.api.conftest import LiveAgent

PAGE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
SECTIONS = {
    (method, path): text
    for method, path, text in re.findall(r"^### `([A-Z]+) (\S+)`\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
WITH_REPLY = [call for call, text in SECTIONS.items() if "\nReply:\n" in text]

RESERVE = "/api/v1/quota/reserve"
QUERIES = {"/api/v1/license/simulate": {"offline_s": 3600}}


def example(text: str, kind: str) -> object:
    found = re.search(rf"^{kind}:\n```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return json.loads(found[1]) if found else None


def fields(document: object) -> object:
    """The names in a document; what varies in length is told by its first member, null says nothing."""
    match document:
        case dict():
            return {name: fields(value) for name, value in document.items()}
        case list():
            return [fields(value) for value in document[:1]]
        case _:
            return None


def merged(shown: object, real: object) -> object:
    """``real`` with what is null or empty in it filled from ``shown``."""
    match shown, real:
        case dict(), dict():
            return {name: merged(shown.get(name), value) for name, value in real.items()}
        case list(), list():
            return [merged(one, other) for one, other in zip(shown, real, strict=False)] or fields(shown)
        case _, None:
            return shown
        case _:
            return real


def doubtful(full: LiveAgent, http: httpx.Client) -> str:
    """A batch of which nobody can say whether it is stored."""
    full.billing.classic()
    full.billing.reply_to_usage(UsageReply(failure=TransportFailure.RESET, written=True))
    http.post("/api/v1/usage/flush")
    (batch,) = http.get("/api/v1/usage/held").json()["batches"]
    return batch["batch_id"]


def test_every_route_is_documented_and_nothing_else() -> None:
    routes = chain.from_iterable(room.routes for room in ROOMS)
    existing = {(method, route.path.replace(":path", "")) for route in routes for method in route.methods}
    assert set(SECTIONS) == existing


def test_only_metrics_has_no_example() -> None:
    assert set(SECTIONS) - set(WITH_REPLY) == {("GET", "/metrics")}


@pytest.mark.parametrize(("method", "path"), WITH_REPLY, ids=" ".join)
def test_every_example_has_the_fields_of_a_real_reply(full: LiveAgent, method: str, path: str) -> None:
    section = SECTIONS[method, path]
    with full.http() as http:
        http.post("/api/v1/license/validate/gate?wait=5")
        http.post("/api/v1/usage/events", json={"event_type": "api_call", "quantity": 1})
        if "/reconcile" in path:
            http.post("/api/v1/usage/flush")
        if path.endswith("cameras/{camera_id}"):
            http.post("/api/v1/cameras", json=example(SECTIONS["POST", "/api/v1/cameras"], "Request"))
        body = example(section, "Request")
        if isinstance(body, dict) and "reservation_id" in body:
            reserved = http.post("/api/v1/quota/reserve", json=example(SECTIONS["POST", RESERVE], "Request"))
            body["reservation_id"] = reserved.json()["reservation_id"]
        lease = {"content": full.lease("gate")} if path.endswith("/import") else {}
        query = QUERIES.get(path)
        batch = doubtful(full, http) if path.endswith("{batch_id}") else ""
        place = path.format(camera_id="gate", day=START.date(), batch_id=batch)
        reply = http.request(method, place, params=query, **({"json": body} | lease))
    assert reply.status_code == 200
    shown, real = fields(example(section, "Reply")), fields(reply.json())
    assert shown == merged(shown, real)


def test_every_status_of_the_table_is_one_we_send() -> None:
    listed = {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGE, re.MULTILINE)}
    assert listed == {400, 401, 403, 404, 405, 408, 409, 413, 431, 500, 503}
