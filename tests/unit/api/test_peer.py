from __future__ import annotations

import grp
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tapi_agent.api import peer
from tapi_agent.api.peer import TCP_PEER, Level, LevelTable, Peer, level_table, peer_of

SOME_GROUP = grp.getgrgid(os.getegid()).gr_name
TABLE = LevelTable(own_uid=990, groups=((SOME_GROUP, Level.METER), ("no-such-group", Level.OPERATE)))


@pytest.mark.parametrize(
    ("who", "level"),
    [
        (Peer(uid=0, gids=frozenset()), Level.ADMIN),
        (Peer(uid=990, gids=frozenset()), Level.ADMIN),
        (Peer(uid=1001, gids=frozenset({os.getegid()})), Level.METER),
        (Peer(uid=1001, gids=frozenset({99_999})), Level.CHECK),
        (TCP_PEER, Level.ADMIN),
    ],
    ids=["root", "the agent's own user", "a member of a group", "anybody who can connect", "who has the token"],
)
def test_levels(who: Peer, level: Level) -> None:
    assert TABLE.level(who) is level


def test_a_group_that_does_not_exist_grants_nothing() -> None:
    assert (
        LevelTable(own_uid=990, groups=(("no-such-group", Level.ADMIN),)).level(Peer(uid=1, gids=frozenset()))
        is Level.CHECK
    )


def test_the_sockets_group_may_meter() -> None:
    table = level_table(socket_group=SOME_GROUP)
    assert table.level(Peer(uid=1001, gids=frozenset({os.getegid()}))) is Level.METER
    assert (table.own_uid, table.group_for(Level.OPERATE)) == (os.geteuid(), "tapi-operators")


def test_a_group_that_is_made_later_counts_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def getgrnam(name: str) -> SimpleNamespace:
        asked.append(name)
        if len(asked) < 3:
            raise KeyError(name)
        return SimpleNamespace(gr_gid=4711)

    monkeypatch.setattr(peer.grp, "getgrnam", getgrnam)
    table = LevelTable(own_uid=990, groups=(("made-later", Level.METER),))
    member = Peer(uid=1001, gids=frozenset({4711}))
    assert [table.level(member) for _ in range(5)] == [Level.CHECK] * 2 + [Level.METER] * 3
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("needed", "group"), [(Level.METER, SOME_GROUP), (Level.OPERATE, "no-such-group"), (Level.ADMIN, None)]
)
def test_the_remedy_names_the_least_powerful_group(needed: Level, group: str | None) -> None:
    assert TABLE.group_for(needed) == group


def test_the_kernel_tells_uid_and_groups() -> None:
    left, right = socket.socketpair()
    with left, right:
        who = peer_of(left)
    assert (who.uid, who.tcp) == (os.geteuid(), False)
    assert who.gids >= {os.getegid(), *os.getgroups()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can join groups")
def test_in_too_many_groups_is_in_none_of_them() -> None:
    source = (
        "import socket; from tapi_agent.api.peer import peer_of; print(sorted(peer_of(socket.socketpair()[0]).gids))"
    )
    groups = range(1000, 1300)
    done = subprocess.run(
        [sys.executable, "-c", source], group=7, extra_groups=list(groups), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[7]\n"


def test_tcp_peers_are_known_by_their_token() -> None:
    with socket.socket(socket.AF_INET) as connection:
        assert peer_of(connection) is TCP_PEER


@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (4_000_000, "4000000")])
def test_users_are_shown_by_name_where_they_have_one(uid: int, name: str) -> None:
    assert Peer(uid=uid, gids=frozenset()).user == name
