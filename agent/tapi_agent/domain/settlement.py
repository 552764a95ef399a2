"""What becomes of a batch after a try: one of a few values, made by ``delivery.read_reply``, carried out by services.

Also what an agent remembers of a billing service, and why sending pauses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.batch import MAX_BYTES, Dialect

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tapi_agent.domain.ids import EventId


class PauseReason(StrEnum):
    """Why nothing is sent for now, apart from single tries; everything is kept."""

    UNREACHABLE = "UNREACHABLE"
    TLS = "TLS"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    REDIRECTED = "REDIRECTED"
    NOT_THE_SERVICE = "NOT_THE_SERVICE"
    REFUSES_EVERYTHING = "REFUSES_EVERYTHING"
    KEY_REUSED = "KEY_REUSED"

    @property
    def fix(self) -> str:
        """What an operator can do about it."""
        return _FIXES[self]


_FIXES = {
    PauseReason.UNREACHABLE: "check the network and BILLING_SERVICE_URL",
    PauseReason.TLS: "check the certificate of the service and the clock of this box",
    PauseReason.UNAUTHORIZED: "check BILLING_API_KEY",
    PauseReason.NOT_FOUND: "check BILLING_SERVICE_URL: it must end in /api/v1",
    PauseReason.REDIRECTED: "check BILLING_SERVICE_URL, and log in to the network if it has a portal",
    PauseReason.NOT_THE_SERVICE: "log in to the network if it has a portal; check the proxy and BILLING_SERVICE_URL",
    PauseReason.REFUSES_EVERYTHING: "ask the operators of the service; BILLING_DIALECT=classic if it is an old one",
    PauseReason.KEY_REUSED: "report it: the service knows another batch under this key",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """An alarm: sending rests, nothing is lost, and a person should look."""

    reason: PauseReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Why one event will not be billed: the service's code, or a ``DeadReason``."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The service has answered for the events: ``synced`` it has, ``dead`` it refuses, ``again`` goes out anew.

    ``dedupes`` is what the form of the answer proves: per-event results under our batch_id, or only counts; ``None``
    when it proves nothing.
    """

    synced: frozenset[EventId] = frozenset()
    dead: Mapping[EventId, Death] = field(default_factory=dict)
    again: frozenset[EventId] = frozenset()
    dedupes: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The same bytes under the same key, later. ``service_wide``: no other batch would fare better right now."""

    detail: str
    retry_after: timedelta | None = None
    service_wide: bool = True
    nothing_stored: bool = False
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halve:
    """Two batches in place of this one; ``max_bytes`` is the service's limit if that was the reason."""

    detail: str
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """This one event alone was refused. It dies ``at_once``, or its root batch tells who is bad, it or the service."""

    death: Death
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reseal:
    """The same events under a new key, in ``dialect`` if that is what has to change."""

    detail: str
    dialect: Dialect | None = None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous:
    """Nobody can say what was stored: never resent blindly. ``partial``: the service said that some of it was."""

    detail: str
    partial: bool = False
    retry_after: timedelta | None = None
    pause: Pause | None = None


Settlement = Settled | Retry | Halve | Refused | Reseal | Ambiguous


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMemory:
    """What has been learned of a billing service, kept in the database.

    ``dedupes``: its newest full answer bore our batch_id and per-event results. ``dialect``: classic once it has
    refused the extension's fields. ``max_bytes``: the largest body it is sent. A 413 lowers it, and what is taken since
    raises it again: it may have been a proxy that is gone.
    """

    dedupes: bool = False
    dialect: Dialect = Dialect.EXTENDED
    max_bytes: int = MAX_BYTES


_GROWTH: Final = 64
"""A limit grows by one part in so many with each batch that came up to it: a true one costs one refusal in fifty."""


def learned(memory: ServiceMemory, settlement: Settlement, *, size: int) -> ServiceMemory:
    """What is known of the service after ``settlement`` of a body of ``size`` bytes."""
    match settlement:
        case Settled(dedupes=dedupes):
            known = memory.dedupes if dedupes is None else dedupes
            return replace(memory, dedupes=known, max_bytes=_outgrown(memory.max_bytes, size))
        case Halve(max_bytes=int(limit)):
            return replace(memory, max_bytes=min(memory.max_bytes, limit))
        case Reseal(dialect=Dialect() as dialect):
            return replace(memory, dialect=dialect)
        case _:
            return memory


def _outgrown(limit: int, taken: int) -> int:
    """A body that leaves more than half of the limit unused says nothing about it."""
    if taken * 2 < limit:
        return limit
    return min(MAX_BYTES, limit + limit // _GROWTH + 1)
