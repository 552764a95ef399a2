"""Whether an event that was refused alone is bad, or the service is: judged by what became of its root batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DEAD_SHARE: Final = 100
"""At most one event in so many may die of a refusal: beyond that the service is at fault, not the events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootTally:
    """What became of a root batch's ``events`` so far, over all the batches it was split into.

    ``accepted`` by the service, ``refused`` alone and waiting for the verdict, ``dead`` of a refusal already. Of its
    batches, ``open`` are still on their way, ``ambiguous`` in doubt; ``attempts`` is the most tries any of them had.
    """

    events: int
    accepted: int
    refused: int
    dead: int
    open: int
    ambiguous: int
    attempts: int = 0


class Verdict(StrEnum):
    """What to do with the events that were refused alone."""

    WAIT = "wait"
    BURY = "bury"
    """They are bad: the service takes others of the same batch."""
    RESTORE = "restore"
    """The service is at fault: all go back into one batch, and sending pauses."""


def judge(tally: RootTally) -> Verdict:
    """The verdict on a root batch of which events were refused alone."""
    if tally.refused == 0:
        return Verdict.WAIT
    if tally.refused + tally.dead > max(1, tally.events // _DEAD_SHARE):
        return Verdict.RESTORE
    if tally.open:
        return Verdict.WAIT
    if tally.accepted:
        return Verdict.BURY
    return Verdict.WAIT if tally.ambiguous else Verdict.RESTORE
