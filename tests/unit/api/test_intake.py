"""Taking in a body: whole or not at all, and never more than is said."""

from __future__ import annotations

import pytest

from tapi_agent.api import intake
from tapi_agent.api.intake import MAX_BODY, take_in

GONE = {"type": "http.disconnect"}


def pieces(*chunks: bytes, ends: bool = True):
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if ends:
        messages[-1]["more_body"] = False
    messages.append(GONE)

    async def receive():
        return messages.pop(0)

    return receive


@pytest.mark.parametrize("chunks", [(b"",), (b"abc",), (b"a", b"", b"bc")], ids=str)
async def test_pieces_are_put_together(chunks: tuple[bytes, ...]) -> None:
    taken = await take_in({}, pieces(*chunks))
    assert taken is not None
    assert (taken.body, taken.size, taken.refusal) == (b"".join(chunks), sum(map(len, chunks)), None)


async def test_who_leaves_before_the_end_gets_no_answer() -> None:
    assert await take_in({}, pieces(b"a", ends=False)) is None


@pytest.mark.parametrize(("size", "refused"), [(MAX_BODY, False), (MAX_BODY + 1, True)])
async def test_the_limit(size: int, refused: bool) -> None:  # noqa: FBT001 - a case of the table
    taken = await take_in({}, pieces(b"x" * (size - 1), b"x"))
    assert taken is not None
    assert (taken.refusal is not None) == refused
    assert (len(taken.body) == size) != refused


async def test_no_more_is_thrown_away_than_is_reasonable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_MOST_THROWN_AWAY", 2 * MAX_BODY)
    taken = await take_in({}, pieces(*[b"x" * MAX_BODY] * 9))
    assert taken is not None
    assert taken.size == 3 * MAX_BODY


@pytest.mark.parametrize(
    ("headers", "reads"),
    [
        ({b"content-length": b"9"}, True),
        ({b"content-length": b"9", b"expect": b"100-continue"}, True),
        ({b"content-length": b"1048577", b"expect": b"100-continue"}, False),
    ],
    ids=["short", "asks for little", "asks for too much"],
)
async def test_who_asks_first_is_answered_without_reading(headers: dict[bytes, bytes], reads: bool) -> None:  # noqa: FBT001 - a case of the table
    taken = await take_in(headers, pieces(b"123456789"))
    assert taken is not None
    assert (taken.body == b"123456789") == reads
    assert (taken.refusal is None) == reads


async def test_the_body_is_replayed_once_then_what_else_comes() -> None:
    receive = pieces(b"ab")
    taken = await take_in({}, receive)
    assert taken is not None
    replayed = taken.replay(receive)
    assert await replayed() == {"type": "http.request", "body": b"ab", "more_body": False}
    assert await replayed() == GONE
