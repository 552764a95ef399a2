"""The model forgets what it must, and nothing else: or the tests on it would prove nothing."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.power.medium import SECTOR, Change, Cut, Medium, load

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"o" * 3 * SECTOR, b"n" * 3 * SECTOR


@pytest.fixture
def medium() -> Medium:
    """One file that is safe, was written over since, and has another name since."""
    medium = Medium()
    number = medium.create("old", 0o600)
    medium.inodes[number].change(Change(offset=0, data=OLD))
    medium.sync()
    medium.inodes[number].change(Change(offset=0, data=NEW))
    medium.rename({"old": None, "new": number})
    return medium


def drawn(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - a cut must repeat


def content(medium: Medium) -> bytes:
    (number,) = medium.names.values()
    return bytes(medium.inodes[number].live)


@pytest.mark.parametrize(
    ("cut", "name", "left"), [(Cut.FORGET, "old", OLD), (Cut.KEEP, "new", NEW)], ids=["forget", "keep"]
)
def test_what_was_not_synced_is_gone_unless_it_is_kept(medium: Medium, cut: Cut, name: str, left: bytes) -> None:
    medium.cut(cut, drawn(1))
    assert (set(medium.names), content(medium)) == ({name}, left)


def test_a_synced_file_is_safe_and_its_name_is_not(medium: Medium) -> None:
    medium.inodes[medium.names["new"]].sync()
    medium.cut(Cut.FORGET, drawn(1))
    assert (set(medium.names), content(medium)) == ({"old"}, NEW)


def test_a_synced_folder_makes_names_safe_and_no_bytes(medium: Medium) -> None:
    medium.sync_names()
    medium.cut(Cut.FORGET, drawn(1))
    assert (set(medium.names), content(medium)) == ({"new"}, OLD)


@pytest.mark.parametrize(
    ("cut", "kinds"), [(Cut.IN_ORDER, {"ooo", "noo", "nno", "nnn"}), (Cut.ANY, {"ono", "noo", "onn", "nnn"})]
)
def test_a_write_may_be_torn_between_sectors_only(medium: Medium, tmp_path: Path, cut: Cut, kinds: set[str]) -> None:
    medium.safe_names = dict(medium.names)
    medium.save(tmp_path / "image")
    seen = set()
    for seed in range(200):
        torn = load(tmp_path / "image")
        torn.inodes[torn.names["new"]].change(Change(offset=0, data=NEW))
        torn.cut(cut, drawn(seed))
        left = content(torn).decode()
        assert left == "".join(letter * SECTOR for letter in left[::SECTOR])
        seen.add(left[::SECTOR])
    assert kinds <= seen
    assert cut is Cut.ANY or seen == kinds


def test_a_file_that_is_written_behind_its_end_has_zeros_between() -> None:
    medium = Medium()
    inode = medium.inodes[medium.create("a", 0o600)]
    inode.change(Change(offset=2, data=b"x"))
    assert inode.live == b"\0\0x"
    inode.change(Change(offset=1, data=None))
    assert inode.live == b"\0"
    inode.change(Change(offset=3, data=None))
    assert inode.live == b"\0\0\0"
