"""What a disk holds: the bytes and names programs see, those that outlive a power cut, and what lies between.

A model without a file system; ``cutfs`` mounts it. As strict as POSIX lets a file system be: bytes are safe once their
file was synced, names once their folder was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from random import Random

T = TypeVar("T")

SECTOR: Final = 512


class Cut(StrEnum):
    """What becomes of that which was not synced."""

    FORGET = "forget"
    """Nothing of it is left."""
    IN_ORDER = "in-order"
    """The oldest of it is left, up to somewhere within a write."""
    ANY = "any"
    """Any of its sectors and names are left: a disk writes in the order it likes."""
    KEEP = "keep"
    """All of it is left: no power was cut, whoever wrote was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``data`` written at ``offset``; without any, the file ends there."""

    offset: int
    data: bytes | None

    def sectors(self) -> Iterator[Change]:
        """The parts of it that a disk writes as a whole."""
        if self.data is None:
            yield self
            return
        start = 0
        while start < len(self.data):
            size = SECTOR - (self.offset + start) % SECTOR
            yield Change(offset=self.offset + start, data=self.data[start : start + size])
            start += size

    def apply(self, content: bytearray) -> None:
        """What was never written between the end and ``offset`` reads as zeros."""
        end = self.offset + len(self.data or b"")
        content.extend(bytes(max(0, end - len(content))))
        if self.data is None:
            del content[self.offset :]
        else:
            content[self.offset : end] = self.data


@dataclass(slots=True, kw_only=True)
class Inode:
    """A file, under whatever names."""

    mode: int
    live: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    unsynced: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        """Seen at once, safe later."""
        change.apply(self.live)
        self.unsynced.append(change)

    def sync(self) -> None:
        """Make all that was changed safe."""
        for change in self.unsynced:
            change.apply(self.safe)
        self.unsynced.clear()


@dataclass(slots=True, kw_only=True)
class Medium:
    """One folder of files. ``renamed`` are changes of names in their order, each of which is safe as a whole or not."""

    inodes: dict[int, Inode] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    safe_names: dict[str, int] = field(default_factory=dict)
    renamed: list[Mapping[str, int | None]] = field(default_factory=list)

    def create(self, name: str, mode: int) -> int:
        """The number of a new, empty file."""
        number = next(number for number in count(2) if number not in self.inodes)
        self.inodes[number] = Inode(mode=mode)
        self.rename({name: number})
        return number

    def rename(self, change: Mapping[str, int | None]) -> None:
        """Give names to files, and take them away (``None``)."""
        _rename(self.names, change)
        self.renamed.append(change)

    def sync_names(self) -> None:
        """Make all names safe."""
        self.safe_names = dict(self.names)
        self.renamed.clear()

    def sync(self) -> None:
        """Make everything safe, as before the power is switched off in an orderly way."""
        for inode in self.inodes.values():
            inode.sync()
        self.sync_names()

    def cut(self, how: Cut, random: Random) -> None:
        """Let the power fail: afterwards only what is safe is there."""
        for inode in self.inodes.values():
            sectors = [sector for change in inode.unsynced for sector in change.sectors()]
            inode.unsynced = _survivors(sectors, how, random)
            inode.sync()
            inode.live = bytearray(inode.safe)
        for change in _survivors(self.renamed, how, random):
            _rename(self.safe_names, change)
        self.names = dict(self.safe_names)
        self.renamed.clear()

    def save(self, image: Path) -> None:
        """Write down what is safe."""
        files = {
            name: (number, self.inodes[number].mode, self.inodes[number].safe.hex())
            for name, number in self.safe_names.items()
        }
        image.write_text(json.dumps(files))


def load(image: Path) -> Medium:
    """What ``save`` has written, or an empty medium."""
    medium = Medium()
    for name, (number, mode, content) in json.loads(image.read_text() if image.exists() else "{}").items():
        medium.inodes[number] = Inode(mode=mode, live=bytearray.fromhex(content), safe=bytearray.fromhex(content))
        medium.names[name] = number
    medium.sync_names()
    return medium


def _survivors(unsynced: list[T], how: Cut, random: Random) -> list[T]:
    match how:
        case Cut.FORGET:
            return []
        case Cut.KEEP:
            return list(unsynced)
        case Cut.IN_ORDER:
            return unsynced[: random.randint(0, len(unsynced))]
        case Cut.ANY:
            return [one for one in unsynced if random.random() < 0.5]


def _rename(names: dict[str, int], change: Mapping[str, int | None]) -> None:
    for name, number in change.items():
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number
