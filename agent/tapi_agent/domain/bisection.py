"""Whether an event that was refused alone is bad, or the service is: judged by what became of its root batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DEAD_SHARE: Final = 100
"""At most one event in so many may die of a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootTally:
    """What became of a root batch's ``events`` so far, over all the batches it was split into.

    ``accepted`` by the service, ``refused`` alone and waiting for the verdict, ``dead`` of a refusal already. Of its
    batches, ``open`` are still on their way, ``ambiguous`` in doubt; ``attempts`` is the most tries any of them had.
    ``others_taken``: the service has taken events of other roots since this one was sealed.
    """

    events: int
    accepted: int
    refused: int
    dead: int
    open: int
    ambiguous: int
    attempts: int = 0
    others_taken: bool = False

    @property
    def too_many(self) -> bool:
        """Whether more were refused than may die."""
        return self.refused + self.dead > max(1, self.events // _DEAD_SHARE)


class Verdict(StrEnum):
    """What to do with the events that were refused alone."""

    WAIT = "wait"
    BURY = "bury"
    """They are bad: the service takes others of the same batch."""
    HOLD = "hold"
    """Too many to die, though the service takes others: set aside as one batch, for a person to look at."""
    RESTORE = "restore"
    """The service is at fault: everything goes back into one batch, and sending pauses."""


def judge(tally: RootTally) -> Verdict:
    """The verdict on a root batch of which events were refused alone."""
    if tally.refused == 0:
        return Verdict.WAIT
    if tally.accepted or tally.others_taken:
        return _judge_events(tally)
    if tally.too_many:
        return Verdict.RESTORE
    return Verdict.WAIT if tally.open or tally.ambiguous else Verdict.RESTORE


def _judge_events(tally: RootTally) -> Verdict:
    """The service takes events, so it is the refused ones that are odd."""
    if tally.open:
        return Verdict.WAIT
    return Verdict.BURY if tally.accepted and not tally.too_many else Verdict.HOLD
