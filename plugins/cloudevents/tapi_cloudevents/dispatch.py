"""Brings events to the receiver and finds the bad ones among them. Owns the rule of what may be set aside.

Called by ``sink`` on a thread of its own, for as long as it takes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tapi_cloudevents.receiver import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tapi_cloudevents.receiver import Post

_MOST_EVENTS: Final = 500
_MOST_BYTES: Final = 1024**2
_FUTILE: Final = 64
"""Requests that were refused before a single one was taken: the fault is not in an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """An event on its way: its id, and its text."""

    event_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An event that the receiver refuses while it takes others, and what it says of it."""

    event_id: str
    detail: str


def dispatch(parcels: Sequence[Parcel], post: Post) -> list[SetAside]:
    """Post everything; a request that is refused for its events is halved until the bad ones stand alone.

    Returns those. Raises ``NotTakenError``, so that everything is sent again, when more events are refused than taken:
    then it is the receiver that has changed, and not an event that is bad.
    """
    waiting, taken, refused, bad = deque(_requests(parcels)), 0, 0, list[SetAside]()
    while waiting:
        part = waiting.popleft()
        detail = post([parcel.text for parcel in part])
        if detail is None:
            taken += len(part)
            continue
        refused += 1
        if len(part) == 1:
            bad.append(SetAside(event_id=part[0].event_id, detail=detail))
        # To the end of the queue: the other requests show whether it is the events or the receiver.
        waiting.extend(_halves(part))
        if 2 * len(bad) > len(parcels) or (not taken and refused >= _FUTILE):
            raise NotTakenError(f"{len(parcels)} events, most of them refused: {detail}")
    return bad


def _halves(part: Sequence[Parcel]) -> list[Sequence[Parcel]]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]] if middle else []


def _requests(parcels: Sequence[Parcel]) -> Iterator[Sequence[Parcel]]:
    """In order, each within the limits; an event that is too large for them goes alone."""
    part, size = list[Parcel](), 0
    for parcel in parcels:
        length = len(parcel.text.encode())
        if part and (len(part) == _MOST_EVENTS or size + length > _MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(parcel)
        size += length
    if part:
        yield part
