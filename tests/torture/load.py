"""Load: callers that offer events to an agent again and again, and send again what it did not live to acknowledge."""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING, Final, Protocol

from tests.torture.process import Gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.oracle import Draft, Oracle

_PATIENCE: Final = 90.0
_MOMENT: Final = 0.01
"""Between calls, so that what is billed in the end is thousands of events and not hundreds of thousands."""
_RAW: Final = 0.2
"""So many of the calls are posts without a key, which nobody sends again."""
_MOST: Final = 8

A_MOMENT: Final = Event()
"""Never set: a random moment is what a plan asks for, and no condition."""


class Door(Protocol):
    """Where events are taken."""

    def record(self, drafts: list[Draft]) -> list[str]:
        """Their ids; raises ``Gone`` when no answer came."""
        ...


class Load:
    """Each of ``doors`` has ``callers`` of its own; what they offer, and when it is raw, is drawn by ``seed``."""

    def __init__(self, oracle: Oracle, *doors: Door, callers: int = 2, seed: int) -> None:
        self._oracle = oracle
        self._over = Event()
        self._answered = Condition()
        self.answers = 0
        self._failure: BaseException | None = None
        self._threads = [
            Thread(target=self._call, args=(door, Random(f"{seed} {number}")), daemon=True)  # noqa: S311 - a plan must repeat
            for number, door in enumerate(doors * callers)
        ]

    def begin(self) -> None:
        """Return at once."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Return when every caller has its last answer, or has given up; raises what went wrong with one."""
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE)
        if self._failure:
            raise self._failure

    def goes_on(self, calls: int) -> None:
        """Return after so many more answers."""
        with self._answered:
            enough = self.answers + calls
            done = self._answered.wait_for(lambda: self.answers >= enough or self._failure, _PATIENCE)
        if self._failure:
            raise self._failure
        if not done:
            raise TimeoutError("callers get no answers")

    def _call(self, door: Door, random: Random) -> None:
        try:
            while not self._over.is_set():
                raw = random.random() < _RAW
                drafts = self._oracle.offer(random.randint(1, _MOST), raw=raw)
                while not self._sent(door, drafts) and not raw and not self._over.wait(_MOMENT):
                    pass
                self._over.wait(_MOMENT)
        except BaseException as error:  # noqa: BLE001 - told in ``end``
            self._failure = error
            with self._answered:
                self._answered.notify_all()

    def _sent(self, door: Door, drafts: list[Draft]) -> bool:
        try:
            ids = door.record(drafts)
        except Gone:
            return False
        self._oracle.acknowledge(drafts, ids)
        with self._answered:
            self.answers += 1
            self._answered.notify_all()
        return True


@contextmanager
def load_on(oracle: Oracle, *doors: Door, callers: int = 2, seed: int) -> Iterator[Load]:
    """Load while the block lasts."""
    load = Load(oracle, *doors, callers=callers, seed=seed)
    load.begin()
    try:
        yield load
    finally:
        load.end()
