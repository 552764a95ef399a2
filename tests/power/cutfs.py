"""A file system that forgets, when its power fails, what was not synced: ``python -m tests.power.cutfs ORDER``.

One process is one life of it. It fails at the operation it is told to, as a power supply does: without a word, and for
good; whatever is asked of it then is an error. The image has what is safe. Unmounted, it keeps everything.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import asdict, dataclass
from errno import ENOENT
from pathlib import Path
from random import Random
from typing import Any, Final

import mfusepy
from tests.power.medium import Change, Cut, Inode, load

READY: Final = b"mounted\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The power fails before the operation number ``fails_at``, if there is one; ``seed`` draws what is left."""

    image: str
    mount: str
    fails_at: int | None = None
    cut: Cut = Cut.FORGET
    seed: int = 0

    def text(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class CutFs(mfusepy.Operations):  # type: ignore[misc]  # it has no types
    """One folder; a file's handle is its number."""

    use_ns = True

    def __init__(self, order: Order) -> None:
        self._order = order
        self.medium = load(Path(order.image))
        self._operations = 0

    def init(self, path: str) -> None:
        """It is mounted."""
        os.write(1, READY)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """The times never change: a page cache need not be dropped, which mapped memory would not survive."""
        owner = {"st_uid": os.getuid(), "st_gid": os.getgid()}
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2, "st_ino": 1, **owner}
        number = self._number(path, fh)
        inode = self.medium.inodes[number]
        return {
            "st_mode": stat.S_IFREG | inode.mode,
            "st_nlink": 1,
            "st_ino": number,
            "st_size": len(inode.live),
            **owner,
        }

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        """A name with the number 0 would not be shown."""
        numbers = {".": 1, "..": 1} | self.medium.names
        return [(name, {"st_ino": number}, 0) for name, number in numbers.items()]

    def create(self, path: str, mode: int, flags: int = 0) -> int:
        self._work()
        return self.medium.create(_name(path), stat.S_IMODE(mode))

    def open(self, path: str, flags: int) -> int:
        return self._number(path)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._inode(path, fh).live[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._work()
        self._inode(path, fh).change(Change(offset=offset, data=data))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._work()
        self._inode(path, fh).change(Change(offset=length, data=None))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._work()
        self._inode(path, fh).sync()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._work()
        self.medium.sync_names()
        return 0

    def unlink(self, path: str) -> int:
        self._work()
        self.medium.rename({_name(path): None})
        return 0

    def rename(self, old: str, new: str) -> int:
        self._work()
        self.medium.rename({_name(old): None, _name(new): self._number(old)})
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._inode(path).mode = stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """SQLite gives its files to whom the database belongs, which is who mounts this."""
        return 0

    def _number(self, path: str, fh: int | None = None) -> int:
        if fh is not None:
            return fh
        number = self.medium.names.get(_name(path))
        if number is None:
            raise mfusepy.FuseOSError(ENOENT)
        return number

    def _inode(self, path: str, fh: int | None = None) -> Inode:
        return self.medium.inodes[self._number(path, fh)]

    def _work(self) -> None:
        """One more operation that changes something or makes it safe, unless the power fails."""
        self._operations += 1
        if self._operations == self._order.fails_at:
            self.medium.cut(self._order.cut, Random(self._order.seed))  # noqa: S311 - a cut must repeat
            self.medium.save(Path(self._order.image))
            os._exit(0)


def _name(path: str) -> str:
    return path.removeprefix("/")


def main(order: Order) -> None:
    """Serve until the power fails or it is unmounted."""
    system = CutFs(order)
    medium = system.medium
    mfusepy.FUSE(system, order.mount, foreground=True, nothreads=True, use_ino=True)
    medium.sync()
    medium.save(Path(order.image))


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
