"""Who may do what, by the kernel's word: the same requests as users in different groups."""

from __future__ import annotations

import grp
import json
import os
import stat
import warnings
from typing import TYPE_CHECKING

import pytest

from tapi_agent.api.peer import Level, LevelTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.api.conftest import LiveAgent

NOBODY = 65534
METERS, OPERATES = [group for group in grp.getgrall() if group.gr_gid not in {0, NOBODY, *os.getgroups()}][:2]
TABLE = LevelTable(own_uid=NOBODY - 1, groups=((METERS.gr_name, Level.METER), (OPERATES.gr_name, Level.OPERATE)))


@pytest.fixture
def guarded(living) -> Iterator[LiveAgent]:
    """An agent whose socket everybody reaches, and to which the user of this test is nobody in particular."""
    with living(levels=TABLE) as live:
        live.socket.parent.chmod(0o711)
        live.socket.chmod(0o666)
        yield live


def ask(live: LiveAgent, call: str, body: str = "", *, groups: list[int]) -> tuple[int, bytes]:
    """Status and body of the reply to user nobody in these groups."""
    request = f"{call} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    answer = _as_nobody(live, request, groups) if os.geteuid() == 0 else live.raw(request)
    head, _, document = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), document


def _as_nobody(live: LiveAgent, request: bytes, groups: list[int]) -> bytes:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child touches nothing that a thread could hold
        child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, live.raw(request))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


EVENT = '{"event_type": "api_call", "quantity": 1}'
CALLS = {
    Level.CHECK: [
        ("GET /livez", ""),
        ("GET /metrics", ""),
        ("GET /api/v1/status", ""),
        ("GET /api/v1/license/status", ""),
        ("GET /api/v1/entitlements", ""),
        ("GET /api/v1/plugins", ""),
        ("GET /api/v1/quota", ""),
        ("POST /api/v1/check", '{"feature": "a.b"}'),
        ("POST /api/v1/check/batch", '{"checks": []}'),
    ],
    Level.METER: [
        ("POST /api/v1/usage/events", EVENT),
        ("GET /api/v1/usage/summary", ""),
        ("POST /api/v1/quota/reserve", '{"meter": "sms_sent", "amount": 1}'),
        ("POST /api/v1/license/validate/gate", ""),
    ],
    Level.OPERATE: [
        ("POST /api/v1/usage/flush", ""),
        ("POST /api/v1/license/heartbeat", ""),
        ("POST /api/v1/heartbeat", ""),
        ("POST /api/v1/plugins/reload", ""),
        ("GET /api/v1/doctor", ""),
        ("POST /api/v1/license/refresh", ""),
        ("POST /api/v1/license/request", ""),
        ("DELETE /api/v1/license/request", ""),
    ],
}
HELD = [
    pytest.param(Level.CHECK, [], id="in no group"),
    pytest.param(Level.METER, [METERS.gr_gid], id="meters"),
    pytest.param(Level.OPERATE, [OPERATES.gr_gid, METERS.gr_gid], id="operates"),
]


@pytest.mark.parametrize(("held", "groups"), HELD)
@pytest.mark.parametrize("needed", [Level.CHECK, Level.METER, Level.OPERATE], ids=lambda level: level.name)
def test_each_call_needs_its_level(guarded: LiveAgent, held: Level, groups: list[int], needed: Level) -> None:
    if groups and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    expected = 200 if held >= needed else 403
    for call, body in CALLS[needed]:
        assert (call, ask(guarded, call, body, groups=groups)[0]) == (call, expected)
    assert guarded.spool.depth == (held >= needed == Level.METER)


@pytest.mark.parametrize(("held", "groups"), HELD)
def test_who_imports_leases_operates(guarded: LiveAgent, held: Level, groups: list[int]) -> None:
    if groups and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    status, _ = ask(guarded, "POST /api/v1/license/import", guarded.lease(), groups=groups)
    assert status == (200 if held >= Level.OPERATE else 403)


@pytest.mark.parametrize("call", ["commit", "release"])
def test_who_only_checks_ends_no_reservation(guarded: LiveAgent, call: str) -> None:
    assert ask(guarded, f"POST /api/v1/quota/{call}", "{}", groups=[])[0] == 403


def test_a_refusal_says_the_level_who_you_are_and_the_remedy(guarded: LiveAgent) -> None:
    status, body = ask(guarded, "POST /api/v1/usage/events", EVENT, groups=[])
    document = json.loads(body)
    user = "nobody" if os.geteuid() == 0 else str(document["detail"]).split("you are ")[1].split()[0]
    assert (status, document["code"]) == (403, "forbidden")
    assert document["detail"] == (f"POST /api/v1/usage/events needs level meter; you are {user} with level check")
    assert f"usermod -aG {METERS.gr_name} {user}" in document["fix"]


def test_the_socket_is_for_its_owner_and_group_alone(live: LiveAgent) -> None:
    assert stat.S_IMODE(live.socket.stat().st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_is_not_in_the_group_cannot_even_connect(live: LiveAgent) -> None:
    live.socket.parent.chmod(0o711)
    assert _as_nobody(live, b"GET /livez HTTP/1.0\r\n\r\n", []) == b""
