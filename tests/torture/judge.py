"""The judge: what is wrong with what people outside the agent saw. Pure: it reads no file, no ledger and no clock.

An event is known by its ``mark``, a word of the application's own that travels in ``resource_id``: to tell events apart
the judge needs no word of the agent's. Called by the torture tests, tested by ``test_judge``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_CLASSIC: Final = ("tenant_id", "event_type", "resource_id", "unit", "metadata")
"""What every service is told of an event, besides quantity and time."""


class Sum(NamedTuple):
    """So many events, and what they add up to."""

    events: int
    quantity: Decimal


NOTHING: Final = Sum(0, Decimal(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An event as somebody saw it: who offers it, who bills it, who keeps it. ``event_id``: empty before it has one."""

    mark: str
    event_id: str
    tenant: str
    meter: str
    quantity: Decimal
    digest: str

    @property
    def account(self) -> tuple[str, str]:
        """Where it is summed up: tenant and meter."""
        return self.tenant, self.meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was seen when everything had come to rest.

    ``offered`` and ``acknowledged`` (event ids) by mark, from the oracle. ``billed`` line by line, from the service's
    ledger, and its own ``totals``. ``dead`` and ``held``: what the agent shows people as dead letters, and as waiting.
    ``recorded``: the agent's own totals; ``lost``: what it says that it lost.
    """

    offered: Mapping[str, Seen]
    acknowledged: Mapping[str, str]
    billed: Sequence[Seen]
    dead: Sequence[Seen] = ()
    held: Sequence[Seen] = ()
    totals: Mapping[tuple[str, str], Sum] = field(default_factory=dict)
    recorded: Mapping[tuple[str, str], Sum] | None = None
    lost: Mapping[tuple[str, str], Sum] = field(default_factory=dict)


def seen(text: str | bytes) -> Seen:
    """The event that a JSON text speaks of, whoever wrote it: numbers exact, times as instants."""
    return seen_in(json.loads(text, parse_float=Decimal, parse_int=Decimal))


def seen_in(event: Mapping[str, Any]) -> Seen:
    """The same of what was read already; ``quantity`` may be a number or text."""
    quantity = Decimal(event["quantity"])
    return Seen(
        mark=event["resource_id"],
        event_id=event.get("event_id", ""),
        tenant=event["tenant_id"],
        meter=event["event_type"],
        quantity=quantity,
        digest=_digest(event, quantity),
    )


def verdicts(evidence: Evidence) -> list[str]:
    """Everything that is wrong, in words; empty when nothing is."""
    return [*_missing(evidence), *_repeated(evidence), *_altered(evidence), *_unbalanced(evidence)]


def add_up(events: Iterable[Seen]) -> dict[tuple[str, str], Sum]:
    """Sums by tenant and meter."""
    sums: dict[tuple[str, str], Sum] = defaultdict(lambda: Sum(0, Decimal(0)))
    for event in events:
        sums[event.account] = Sum(sums[event.account].events + 1, sums[event.account].quantity + event.quantity)
    return dict(sums)


def plus(one: Mapping[tuple[str, str], Sum], other: Mapping[tuple[str, str], Sum]) -> Mapping[tuple[str, str], Sum]:
    """Both together."""
    pairs = {account: (one.get(account, NOTHING), other.get(account, NOTHING)) for account in one.keys() | other.keys()}
    return {account: Sum(a.events + b.events, a.quantity + b.quantity) for account, (a, b) in pairs.items()}


def _missing(evidence: Evidence) -> Iterator[str]:
    """Conservation: billed, a dead letter, visibly held, or among what the agent itself says that it lost."""
    missing = _gone(evidence)
    for account, gone in add_up(missing).items():
        if gone.events > evidence.lost.get(account, NOTHING).events:
            marks = [one.mark for one in missing if one.account == account]
            yield f"lost: {gone.events} acknowledged events of {account}, such as {marks[:3]}"


def _gone(evidence: Evidence) -> list[Seen]:
    found = {one.mark for one in (*evidence.billed, *evidence.dead, *evidence.held)}
    return [evidence.offered[mark] for mark in evidence.acknowledged if mark not in found]


def _repeated(evidence: Evidence) -> Iterator[str]:
    """At most once: no id twice, no event under two ids, and nothing billed that is dead as well."""
    for event_id, times in Counter(line.event_id for line in evidence.billed if line.event_id).items():
        if times > 1:
            yield f"billed {times} times: {event_id}"
    for mark, times in Counter(line.mark for line in evidence.billed).items():
        if times > 1:
            yield f"billed {times} times: {mark}"
    for mark in {line.mark for line in evidence.billed} & {letter.mark for letter in evidence.dead}:
        yield f"billed, and a dead letter: {mark}"


def _altered(evidence: Evidence) -> Iterator[str]:
    """What is billed, dead or held was offered, word for word, and has the id that was acknowledged."""
    for one in (*evidence.billed, *evidence.dead, *evidence.held):
        offer = evidence.offered.get(one.mark)
        if offer is None:
            yield f"never offered: {one.mark}"
        elif one.digest != offer.digest:
            yield f"altered: {one.mark}"
        elif one.event_id and one.event_id != evidence.acknowledged.get(one.mark, one.event_id):
            yield f"under another id than was acknowledged: {one.mark}"


def _unbalanced(evidence: Evidence) -> Iterator[str]:
    """Sums agree: the service's with its lines, the agent's, and what it says it lost, with what became of the events.

    What is held because nobody knows whether it was billed counts once.
    """
    yield from _difference("the service's totals", evidence.totals, add_up(evidence.billed))
    if evidence.recorded is not None:
        everywhere = (*evidence.billed, *evidence.dead, *evidence.held, *_gone(evidence))
        known = add_up({one.mark: one for one in everywhere}.values())
        yield from _difference("the agent's totals", plus(evidence.recorded, evidence.lost), known)


def _difference(what: str, told: Mapping[tuple[str, str], Sum], found: Mapping[tuple[str, str], Sum]) -> Iterator[str]:
    for account in sorted(told.keys() | found.keys()):
        if told.get(account) != found.get(account):
            yield f"{what} of {account}: {told.get(account)}, found: {found.get(account)}"


def _digest(event: Mapping[str, Any], quantity: Decimal) -> str:
    told = {name: event.get(name) for name in _CLASSIC}
    at = datetime.fromisoformat(event["event_time"]).astimezone(UTC).isoformat()
    facts = told | {"quantity": quantity, "event_time": at}
    return hashlib.sha256(repr(_plain(facts)).encode()).hexdigest()


def _plain(value: object) -> object:
    """The same for 0.25 and 0.250, in whatever order the members of an object stand."""
    match value:
        case dict():
            return sorted((name, _plain(member)) for name, member in value.items())
        case list():
            return [_plain(one) for one in value]
        case Decimal() | int() | float() if not isinstance(value, bool):
            return f"{Decimal(str(value)).normalize():f}"
        case _:
            return repr(value)
