from __future__ import annotations

import grp
import os
import socket

import pytest

from tapi_agent.api.peer import TCP_PEER, Level, LevelTable, Peer, peer_of

SOME_GROUP = grp.getgrgid(os.getegid()).gr_name
TABLE = LevelTable(own_uid=990, groups=((SOME_GROUP, Level.METER), ("no-such-group", Level.OPERATE)))


@pytest.mark.parametrize(
    ("peer", "level"),
    [
        (Peer(uid=0, gids=frozenset()), Level.ADMIN),
        (Peer(uid=990, gids=frozenset()), Level.ADMIN),
        (Peer(uid=1001, gids=frozenset({os.getegid()})), Level.METER),
        (Peer(uid=1001, gids=frozenset({99_999})), Level.CHECK),
    ],
    ids=["root", "the agent's own user", "a member of a group", "anybody who can connect"],
)
def test_levels(peer: Peer, level: Level) -> None:
    assert TABLE.level(peer) is level


def test_a_group_that_does_not_exist_grants_nothing() -> None:
    assert (
        LevelTable(own_uid=990, groups=(("no-such-group", Level.ADMIN),)).level(Peer(uid=1, gids=frozenset()))
        is Level.CHECK
    )


@pytest.mark.parametrize(
    ("needed", "group"), [(Level.METER, SOME_GROUP), (Level.OPERATE, "no-such-group"), (Level.ADMIN, None)]
)
def test_the_remedy_names_the_least_powerful_group(needed: Level, group: str | None) -> None:
    assert TABLE.group_for(needed) == group


def test_the_kernel_tells_uid_and_groups() -> None:
    left, right = socket.socketpair()
    with left, right:
        peer = peer_of(left)
    assert (peer.uid, peer.tcp) == (os.geteuid(), False)
    assert peer.gids >= {os.getegid(), *os.getgroups()}


def test_tcp_peers_are_known_by_their_token() -> None:
    with socket.socket(socket.AF_INET) as connection:
        assert peer_of(connection) is TCP_PEER


@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (4_000_000, "4000000")])
def test_users_are_shown_by_name_where_they_have_one(uid: int, name: str) -> None:
    assert Peer(uid=uid, gids=frozenset()).user == name
