"""Every deliberate error has its status, and says the same as the error does."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from tapi_agent.api import errors
from tapi_agent.domain.errors import (
    ConfigurationError,
    IntegrityError,
    InvalidInputError,
    RejectedError,
    TapiError,
    UnavailableError,
)


async def answer_to(error: Exception) -> httpx.Response:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        return await client.get("/")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInputError("m", code="WRONG_TYPE", pointer="#/x", fix="f"), 400, "WRONG_TYPE"),
        (RejectedError("m", code="camera_refused", fix="f"), 400, "camera_refused"),
        (RejectedError("m", code="forbidden", fix="f"), 403, "forbidden"),
        (RejectedError("m", code="database_rejected", fix="f"), 500, "database_rejected"),
        (UnavailableError("m", fix="f"), 503, "unavailable"),
        (IntegrityError("m", fix="f"), 500, "internal"),
        (ConfigurationError("m", fix="f"), 500, "internal"),
        (TapiError("m", fix="f"), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_deliberate_errors(error: TapiError, status: int, code: str) -> None:
    reply = await answer_to(error)
    document = reply.json()
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert (document["status"], document["code"], document["detail"], document["fix"]) == (status, code, "m", "f")
    assert document["retryable"] == (status == 503)
    assert ("errors" in document) == isinstance(error, InvalidInputError)


async def test_the_place_of_a_fault_is_named() -> None:
    document = (await answer_to(InvalidInputError("m", code="c", pointer="#/a/b", fix="f"))).json()
    assert document["errors"] == [{"pointer": "#/a/b", "code": "c", "detail": "m", "fix": "f"}]


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(None, "1"), (timedelta(seconds=7), "7"), (timedelta(milliseconds=20), "1"), (timedelta(minutes=15), "900")],
    ids=str,
)
async def test_unavailable_says_when_to_come_back(wait: timedelta | None, seconds: str) -> None:
    assert (await answer_to(UnavailableError("m", retry_after=wait))).headers["retry-after"] == seconds


async def test_a_bug_tells_nothing_of_itself() -> None:
    reply = await answer_to(KeyError("secret"))
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "secret" not in reply.text


def test_an_item_is_placed_under_its_list() -> None:
    error = InvalidInputError("m", code="c", pointer="#/metadata/#", fix="f")
    assert errors.item_error(error, under="/3")["pointer"] == "#/3/metadata/#"
