"""Waiting for a condition with a deadline: the only way tests and the demo wait."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK: Final = 0.05

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found | None], *, within: float, what: str) -> Found:
    """The first truthy answer of ``condition``; raises ``TimeoutError`` naming ``what`` after ``within`` seconds."""
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what}")
        pause.wait(_LOOK)
