"""Who is asking: the kernel's word about the peer of a Unix socket, and the level it grants. Never a header."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

_UCRED: Final = struct.Struct("3i")
_GID: Final = struct.Struct("I")
_SO_PEERGROUPS: Final = 59
_MOST_GROUPS: Final = 256
"""As many as Python's getsockopt can return."""
OPERATORS: Final = "tapi-operators"


class Level(IntEnum):
    """What a peer may do; each level includes those below it."""

    CHECK = 1
    METER = 2
    OPERATE = 3
    ADMIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One connected process: its user and all its groups, as the kernel recorded them at connect time.

    Over ``tcp`` the kernel says nothing, and the bearer token decides.
    """

    uid: int
    gids: frozenset[int]
    tcp: bool = False

    @property
    def user(self) -> str:
        """The login name, or the number when it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


TCP_PEER: Final = Peer(uid=-1, gids=frozenset(), tcp=True)


def peer_of(connection: socket.socket) -> Peer:
    """The peer of an accepted connection."""
    if connection.family != socket.AF_UNIX:
        return TCP_PEER
    _, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(uid=uid, gids=frozenset({gid, *_supplementary(connection)}))


def _supplementary(connection: socket.socket) -> tuple[int, ...]:
    """The groups beside the primary one; a peer in more than 256 is treated as in none: less, never more."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS * _GID.size)
    except OSError:
        return ()
    return tuple(gid for (gid,) in _GID.iter_unpack(raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTable:
    """Users and groups to levels: root, the agent's own user and who has the token administer; ``groups`` by name."""

    own_uid: int
    groups: tuple[tuple[str, Level], ...]

    def level(self, peer: Peer) -> Level:
        """The highest level the peer's user or one of its groups gives; whoever can connect may check."""
        if peer.tcp or peer.uid in {0, self.own_uid}:
            return Level.ADMIN
        return max([Level.CHECK, *(level for name, level in self.groups if _is_in(peer, name))])

    def group_for(self, needed: Level) -> str | None:
        """The least powerful group that gives ``needed``."""
        enough = sorted((level, name) for name, level in self.groups if level >= needed)
        return enough[0][1] if enough else None


def _is_in(peer: Peer, group: str) -> bool:
    try:
        return _gid(group) in peer.gids
    except KeyError:
        return False


@cache
def _gid(group: str) -> int:
    """Looked up once: where groups come from a directory server, that may take seconds, and every request asks.

    An error is not kept: a group that is made later counts from then on.
    """
    return grp.getgrnam(group).gr_gid


def level_table(*, socket_group: str) -> LevelTable:
    """The table of this process: who may use the socket may meter, ``tapi-operators`` operate."""
    return LevelTable(own_uid=os.geteuid(), groups=((socket_group, Level.METER), (OPERATORS, Level.OPERATE)))
