"""Lets the power fail at operations of something short: ``python -m tests.power.moments WHAT CUT SEED STRIDE FOLDER``.

At every STRIDE-th operation, from one that SEED draws. For each of them the same disk is prepared, the deed begun, the
power cut, and the deed done again. Says what is wrong then, a line each, and in the end how many moments were tried.
Forks, so that a moment takes milliseconds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.integration.usage.conftest import make_event
from tests.power.cutfs import READY, Order, main
from tests.power.medium import Cut
from tests.power.recorder import BOX

from tapi_agent.adapters.files import FileLosses
from tapi_agent.adapters.spool.file import SpoolFile
from tapi_agent.adapters.spool.place import SpoolPlace
from tapi_agent.domain.loss import Loss, LossKind
from tapi_agent.domain.tally import tally, tally_events
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS: Final = [make_event(number, size=3000) for number in range(12)]
TEXTS: Final = [event.canonical for event in EVENTS]
OLD: Final = 8
"""So many events are in the file itself, the others only in its log."""
DAMAGED: Final = 3
NOTES: Final = 3
TO_FORMAT_1: Final = """
CREATE TABLE old AS SELECT only_row, stream, drained_seq, newest_ms, dedupe_floor FROM spool;
DROP TABLE spool; ALTER TABLE old RENAME TO spool; DROP TABLE sums; PRAGMA user_version = 1;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """``prepare(place)``, ``act(place, said)``, which tells the oracle in the file ``said``, and ``check`` of both."""

    prepare: Callable[[Path], None]
    act: Callable[[Path, Path], None]
    check: Callable[[Path, Path], None]


def fill(place: Path) -> None:
    """A spool whose owner is killed while its log has events that the file has not."""
    for events in (EVENTS[:OLD], EVENTS[OLD:]):
        file = SpoolFile(place / "spool.db", floor=START, box=BOX)
        file.append([event.canonical for event in events], totals=tally_events(events))
        if events[0] is EVENTS[0]:
            file.close()


def fill_and_damage(place: Path) -> None:
    """One event of those in the file is not what was written."""
    fill(place)
    path = place / "spool.db"
    content = path.read_bytes()
    at = content.index(TEXTS[DAMAGED].encode())
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"?")


def fill_in_format_1(place: Path) -> None:
    """What an agent before format 2 left behind."""
    with closing(SpoolFile(place / "spool.db", floor=START, box=BOX)) as file:
        file.append(TEXTS[:OLD], totals=tally_events(EVENTS[:OLD]))
    connection = sqlite3.connect(place / "spool.db")
    connection.executescript(TO_FORMAT_1)
    connection.close()


def open_spool(place: Path, said: Path) -> None:
    """As an agent does, which mends or upgrades it."""
    found(place)


def found(place: Path) -> list[str]:
    """What waits in the spool, with sums that agree."""
    spool = SpoolPlace(place / "spool.db", floor=START, box=BOX)
    texts = [event.canonical for event in spool.write(lambda file: file.head(1000))]
    assert spool.write(lambda file: file.waiting(0)) == tally(texts), "other sums than events"
    return texts


def all_but_the_damaged_are_there(place: Path, said: Path) -> None:
    """Each once, and the damaged file as evidence."""
    assert sorted(found(place)) == sorted([*TEXTS[:DAMAGED], *TEXTS[DAMAGED + 1 :]]), "events are lost or doubled"
    assert (place / "spool.db.damaged-1").exists(), "no evidence"


def the_old_ones_are_there(place: Path, said: Path) -> None:
    """In their order."""
    assert found(place) == TEXTS[:OLD], "events are lost or doubled"


def note_losses(place: Path, said: Path) -> None:
    """One after another; the oracle hears of each."""
    for _ in range(NOTES):
        now = datetime(2027, 3, 1, tzinfo=UTC)
        loss = Loss(
            kind=LossKind.REFUSED, meter="api_call", events=1, quantity=Decimal("0.5"), first_at=now, last_at=now
        )
        FileLosses(place / "losses").note([loss])
        with said.open("a") as oracle:
            oracle.write("+")


def losses_are_known(place: Path, said: Path) -> None:
    """All that were noted; one more may have been."""
    noted = len(said.read_text()) if said.exists() else 0
    known = sum(loss.events for loss in FileLosses(place / "losses").report())
    assert noted <= known <= noted + 1, f"{noted} losses noted, {known} known"
    assert not list(place.glob("*.damaged")), "set aside"


DEEDS: Final = {
    "rescue": Deed(prepare=fill_and_damage, act=open_spool, check=all_but_the_damaged_are_there),
    "upgrade": Deed(prepare=fill_in_format_1, act=open_spool, check=the_old_ones_are_there),
    "losses": Deed(prepare=lambda _: None, act=note_losses, check=losses_are_known),
}


def in_child(work: Callable[[], None]) -> bool:
    """Whether it went well; the process ends as if killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - a child must end here whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


@contextmanager
def powered(order: Order) -> Iterator[int]:
    """A disk that is plugged in; its process."""
    ready, mounted = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(mounted, 1)
        main(order)
        os._exit(0)
    os.close(mounted)
    with os.fdopen(ready, "rb") as line:
        assert line.readline() == READY
    try:
        yield pid
    finally:
        subprocess.run(["fusermount3", "-u", "-z", "-q", order.mount], check=True)
        os.waitpid(pid, 0)


def try_moment(deed: Deed, number: int, cut: Cut, seed: int, folder: Path) -> bool:
    """Let the power fail at operation ``number``; returns whether there was one, prints what is wrong."""
    image, place, said = folder / "image", folder / "disk", folder / "said"
    shutil.copyfile(folder / "prepared", image)
    said.unlink(missing_ok=True)
    with powered(Order(image=str(image), mount=str(place), fails_at=number, cut=cut, seed=seed + number)):
        went_well = quietly(lambda: deed.act(place, said))
    with powered(Order(image=str(image), mount=str(place))):
        if not in_child(lambda: deed.check(place, said)):
            say(f"wrong after a cut at operation {number}")
    return not went_well


def quietly(work: Callable[[], None]) -> bool:
    """In a child, of which nobody wants to hear that it died."""

    def silent() -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        work()

    return in_child(silent)


def try_all(what: str, cut: Cut, seed: int, stride: int, folder: Path) -> None:
    """Every ``stride``-th moment of the deed."""
    deed = DEEDS[what]
    with powered(Order(image=str(folder / "prepared"), mount=str(folder / "disk"))):
        assert in_child(lambda: deed.prepare(folder / "disk"))
    moments = count(1 + seed % stride, stride)
    tried = takewhile(lambda number: try_moment(deed, number, cut, seed, folder), moments)
    say(str(len(list(tried))))


def say(what: str) -> None:
    """At once: children must not say it again."""
    os.write(1, f"{what}\n".encode())


if __name__ == "__main__":
    try_all(sys.argv[1], Cut(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
