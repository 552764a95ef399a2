"""Which dead letters may go out again under their own id without a risk of billing them twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.ambiguity import Storage
from tapi_agent.domain.usage import DeadReason

if TYPE_CHECKING:
    from tapi_agent.domain.ids import EventId

_NEW: Final = "record a corrected copy: it is a new event with an id of its own"


class Obstacle(StrEnum):
    """Why a letter stays one."""

    NO_LETTER = "NO_LETTER"
    ID_IS_TAKEN = "ID_IS_TAKEN"
    NO_ROW = "NO_ROW"
    STORED = "STORED"
    NOT_PROVED = "NOT_PROVED"

    @property
    def why(self) -> str:
        """In words."""
        return _WORDS[self][0]

    @property
    def fix(self) -> str:
        """What an operator can do about it."""
        return _WORDS[self][1]


_WORDS: Final = {
    Obstacle.NO_LETTER: ("there is no dead letter of this id", "tapi-agent usage dead-letters shows those there are"),
    Obstacle.ID_IS_TAKEN: ("another event was kept under this id before, and is billed", _NEW),
    Obstacle.NO_ROW: ("the database has no row of it that could wait again", _NEW),
    Obstacle.STORED: ("the sums of the service hold it already: sent again it would be billed twice", "leave it"),
    Obstacle.NOT_PROVED: (
        "the service does not dedupe, and its sums do not show that it is not stored",
        "ask the operators of the service; if it is not stored, " + _NEW,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A letter that stays one."""

    event_id: EventId
    dead_letter_id: int | None
    obstacle: Obstacle


def obstacle_of(code: str) -> Obstacle | None:
    """What stands in the way of a letter by its code alone, whatever the service."""
    match code:
        case DeadReason.IDEMPOTENCY_CONFLICT:
            return Obstacle.ID_IS_TAKEN
        case DeadReason.UNSTORABLE:
            return Obstacle.NO_ROW
        case _:
            return None


def obstacle_in(storage: Storage) -> Obstacle | None:
    """What the sums of a service that does not dedupe put in the way."""
    match storage:
        case Storage.NOT_STORED:
            return None
        case Storage.STORED:
            return Obstacle.STORED
        case Storage.UNDECIDED:
            return Obstacle.NOT_PROVED
