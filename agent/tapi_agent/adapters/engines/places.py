"""The engines' directories below the state directory: who owns them, who may pass, how long a socket path may be.

Only leaf directories belong to the engine's account. Everything above stays ours, so an engine that was taken over
cannot swap a directory for a link and have root follow it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from tapi_agent.adapters.engines.account import Account

LONGEST_SOCKET_PATH: Final = 90
"""Bytes. The kernel takes 107; the rest is a margin for lock files and other kernels."""


def check_socket_path(state_dir: Path, socket: Path) -> None:
    """Raise ``ConfigurationError`` when clients could not address ``socket`` below ``state_dir``."""
    length = len(os.fsencode(socket))
    if length > LONGEST_SOCKET_PATH:
        spare = length - LONGEST_SOCKET_PATH
        raise ConfigurationError(
            f"the state directory {state_dir} is too long: its socket {socket} has {length} bytes,"
            f" the limit is {LONGEST_SOCKET_PATH}",
            fix=f"choose a state directory that is at least {spare} bytes shorter, such as /var/lib/tapi-agent",
        )
    if "," in str(state_dir):
        raise ConfigurationError(
            f"the state directory {state_dir} has a comma in its name, which PostgreSQL reads as a list",
            fix="choose a state directory without commas",
        )


def open_home(state_dir: Path, name: str, account: Account) -> Path:
    """Make ``state_dir/name``, ours, and let ``account`` pass to it; raises ``ConfigurationError`` if it cannot."""
    home = state_dir / name
    for directory in (state_dir, home):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _let_pass(directory, account)
    obstacle = account.obstacle(home)
    if obstacle is not None:
        raise ConfigurationError(
            f"{name} runs as user {account.name}, who may not pass {obstacle} on the way to the state directory",
            fix=f"move the state directory, for example to /var/lib/tapi-agent, or run chmod o+x {obstacle}",
        )
    return home


def _let_pass(directory: Path, account: Account) -> None:
    """Admit the account's group; where the group bits already serve another group, admit everybody to pass."""
    if account.may_pass(directory):
        return
    mode = directory.stat().st_mode & 0o7777
    if mode & 0o070:
        directory.chmod(mode | 0o001)
        return
    os.chown(directory, -1, account.gid)
    directory.chmod(mode | 0o010)


def give(directory: Path, account: Account) -> None:
    """Make a leaf directory that belongs to ``account`` alone (0700)."""
    directory.mkdir(mode=0o700, exist_ok=True)
    if not account.is_ours:
        os.chown(directory, account.uid, account.gid, follow_symlinks=False)
    check_owner(directory, account)


def check_owner(directory: Path, account: Account) -> None:
    """Raise ``ConfigurationError`` when ``directory`` was left by an agent which ran under another user."""
    owner = directory.lstat().st_uid
    if owner != account.uid:
        raise ConfigurationError(
            f"{directory} belongs to uid {owner}, but the engine runs as uid {account.uid}",
            fix=f"run the agent under the user it ran under before, or chown -R {account.uid} {directory}",
        )


def write_private(path: Path, text: str) -> None:
    """Write a secret: ours, 0600, durable, complete or absent."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    rename_durably(temporary, path)


def rename_durably(source: Path, target: Path) -> None:
    """Rename within one directory, and let the rename survive a power cut."""
    source.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
