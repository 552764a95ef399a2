"""How much a folder takes on its disk. Owns the walk through a tree that others write to meanwhile; keeps nothing.

Called by ``gauge``, on a thread of its own: a tree of a million files takes a while.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

_BLOCK: Final = 512
"""The unit of ``st_blocks``, whatever the file system's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """``allocated`` bytes of what could be read; ``unread`` names the first thing in the folder that could not."""

    allocated: int
    unread: str = ""


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One walk: the device it stays on, the folders still to enter, what was found."""

    device: int
    folders: list[str] = field(default_factory=list)
    allocated: int = 0
    unread: str = ""
    links: set[int] = field(default_factory=set)

    def enter(self, folder: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                self._take(entry)

    def pass_over(self, error: OSError) -> None:
        """What vanished, or became something else, takes no place any more; anything else is worth a word."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            self.unread = self.unread or f"{error.filename}: {error.strerror}"

    def _take(self, entry: os.DirEntry[str]) -> None:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.pass_over(error)
        else:
            if status.st_dev == self.device:
                self._count(entry.path, status)

    def _count(self, path: str, status: os.stat_result) -> None:
        if S_ISDIR(status.st_mode):
            self.folders.append(path)
        elif S_ISREG(status.st_mode) and self._is_new(status):
            self.allocated += status.st_blocks * _BLOCK

    def _is_new(self, status: os.stat_result) -> bool:
        """A file with several names takes its place once."""
        if status.st_nlink == 1:
            return True
        known = status.st_ino in self.links
        self.links.add(status.st_ino)
        return not known


def measure(folder: str) -> Size:
    """The regular files below ``folder``, by their allocated blocks, on its own file system; links are not followed.

    Raises ``OSError`` when the folder itself cannot be read.
    """
    walk = _Walk(device=Path(folder).stat().st_dev)
    walk.enter(folder)
    while walk.folders:
        try:
            walk.enter(walk.folders.pop())
        except OSError as error:
            walk.pass_over(error)
    return Size(allocated=walk.allocated, unread=walk.unread)
