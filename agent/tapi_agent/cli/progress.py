"""Bars for long work, on stderr, so that what is printed stays clean; nothing when that is no terminal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_LOOK_EVERY: Final = 0.5
_COLUMNS: Final = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def steps(description: str, items: Sequence[T]) -> Iterator[T]:
    """``items``, with a bar that moves as they are taken."""
    with _bar() as bar:
        yield from bar.track(items, description=description)


def draining(description: str, work: Callable[[], T], left: Callable[[], int]) -> T:
    """Do ``work`` while a bar shows how much is ``left``."""
    with _bar() as bar, ThreadPoolExecutor(1) as pool:
        waiting = left()
        task = bar.add_task(description, total=waiting)
        doing = pool.submit(work)
        while wait([doing], timeout=_LOOK_EVERY).not_done:
            now = left()
            waiting = max(waiting, now)
            bar.update(task, total=waiting, completed=waiting - now)
        return doing.result()


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(*_COLUMNS, console=console, transient=True, disable=not console.is_terminal)
