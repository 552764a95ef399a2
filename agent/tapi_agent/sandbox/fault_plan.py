"""The fault plan: which requests go wrong, how, and how often.

It lives in memory and is forgotten when the process ends. ``admin_api`` edits it, ``interference`` asks it about every
request.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from random import Random
from typing import TYPE_CHECKING, assert_never

from tapi_agent.sandbox import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tapi_agent.sandbox.faults import Disturbance, Fault, Forced, Forgery, Terminal


def _as_usual(count: int) -> Sequence[Forced]:
    return [faults.Forced.ACCEPTED] * count


@dataclass(frozen=True, slots=True, kw_only=True)
class Misbehavior:
    """What one request meets. ``terminal`` and ``delay`` are for the transport, the rest is for the handlers."""

    terminal: Terminal | None = None
    delay: timedelta = timedelta()
    clock_error: timedelta = timedelta()
    classic_only: bool = False
    refuse_extension: bool = False
    forgery: Forgery | None = None
    storage_failure: bool = False
    force: Callable[[int], Sequence[Forced]] = _as_usual
    """What becomes of each of so many events."""


class FaultPlan:
    """Rules in the order in which they were added."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._cleared = asyncio.Event()

    def add(self, rules: Iterable[Fault]) -> None:
        """Let the rules hold from the next request on."""
        self._armed += map(_Armed, rules)

    def clear(self) -> None:
        """Behave again, also towards requests that are being delayed."""
        self._armed.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def sit_out(self, delay: timedelta) -> None:
        """Return after ``delay``, or as soon as the plan is cleared."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._cleared.wait(), delay.total_seconds())

    def rules(self) -> list[Fault]:
        """What still holds, with the ``times`` that are left."""
        return [armed.rule.model_copy(update={"times": armed.left}) for armed in self._armed]

    def meet(self, path: str) -> Misbehavior:
        """What a request to ``path`` meets now. Uses up a time of each rule that matches, up to the first terminal."""
        met = Misbehavior()
        for armed in [one for one in self._armed if fnmatchcase(path, one.rule.path)]:
            met = armed.strike(met)
            if met.terminal is not None:
                break
        self._armed = [one for one in self._armed if one.left != 0]
        return met


class _Armed:
    """A rule and what is left of it."""

    def __init__(self, rule: Fault) -> None:
        self.rule = rule
        self.left = rule.times
        self._random = Random(rule.seed if isinstance(rule, faults.Partial) else 0)  # noqa: S311 - faults must repeat

    def strike(self, met: Misbehavior) -> Misbehavior:
        """``met`` and this rule as well."""
        self.left = None if self.left is None else self.left - 1
        if isinstance(self.rule, faults.Terminal):
            return replace(met, terminal=self.rule)
        return self._disturb(met, self.rule)

    def _disturb(self, met: Misbehavior, rule: Disturbance) -> Misbehavior:
        match rule:
            case faults.Delay(ms=ms):
                met = replace(met, delay=met.delay + timedelta(milliseconds=ms))
            case faults.WrongClock(seconds=seconds):
                met = replace(met, clock_error=timedelta(seconds=seconds))
            case faults.ClassicOnly():
                met = replace(met, classic_only=True)
            case faults.RefuseExtension():
                met = replace(met, classic_only=True, refuse_extension=True)
            case faults.ForgeLease(action=forgery):
                met = replace(met, forgery=forgery)
            case faults.StorageFailure():
                met = replace(met, storage_failure=True)
            case faults.Partial(outcomes=outcomes):
                met = replace(met, force=lambda count: self._random.choices(outcomes, k=count))
            case _:
                assert_never(rule)
        return met
