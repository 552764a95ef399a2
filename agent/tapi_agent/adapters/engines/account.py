"""Who an engine runs as, and what that account may reach. Changes nothing; called by everything in this package."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_CANDIDATES: Final = ("postgres", "nobody")
_PASS: Final = 0o1
_READ: Final = 0o4


class Identity(TypedDict, total=False):
    """The keyword arguments of ``subprocess`` that make a child run as somebody else."""

    user: int
    group: int
    extra_groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An operating-system user; ``name`` is None for a uid without passwd entry, as in many containers."""

    uid: int
    gid: int
    name: str | None

    @property
    def is_ours(self) -> bool:
        """Whether the engine runs under the agent's own user."""
        return self.uid == os.geteuid()

    def identity(self) -> Identity:
        """How to start a child as this account, without the agent's supplementary groups."""
        return {} if self.is_ours else {"user": self.uid, "group": self.gid, "extra_groups": ()}

    def obstacle(self, path: Path) -> Path | None:
        """The topmost directory which this account may not pass to come into ``path``; None when the way is free."""
        way = path.resolve()
        return next((step for step in (*reversed(way.parents), way) if not self.may_pass(step)), None)

    def may_pass(self, directory: Path) -> bool:
        """Whether this account may go through ``directory`` on its way further down."""
        return self.is_ours or self._may(directory, _PASS)

    def can_read(self, path: Path) -> bool:
        """Whether this account may list the directory, or run the program, at ``path``."""
        return self.is_ours or (self.obstacle(path) is None and self._may(path, _READ))

    def _may(self, path: Path, wanted: int) -> bool:
        info = path.stat()
        shift = 6 if info.st_uid == self.uid else 3 if info.st_gid == self.gid else 0
        return info.st_mode >> shift & wanted == wanted


def agent_account() -> Account:
    """The user this process runs as."""
    uid = os.geteuid()
    return Account(uid=uid, gid=os.getegid(), name=_name_of(uid))


def engine_account() -> Account:
    """Ourselves, or for root the first of postgres and nobody; raises ``ConfigurationError`` when there is neither."""
    if os.geteuid() != 0:
        return agent_account()
    for name in _CANDIDATES:
        entry = _entry_of(name)
        if entry is not None and entry.pw_uid != 0:
            return Account(uid=entry.pw_uid, gid=entry.pw_gid, name=name)
    raise ConfigurationError(
        "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as",
        fix="create one (useradd --system postgres), run the agent as an ordinary user, or set POSTGRES_HOST",
    )


def _entry_of(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
