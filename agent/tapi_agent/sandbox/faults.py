"""The faults there are, as POST /admin/faults takes them. Data only: ``fault_plan`` chooses, ``interference`` obeys."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

_HOUR_MS: Final = 3_600_000
_CENTURY_AND_A_HALF_S: Final = 150 * 366 * 86_400


class Forced(StrEnum):
    """What ``partial`` makes of one event. Only an accepted one is billed, and a duplicate stays a duplicate."""

    ACCEPTED = "accepted"
    """As without the fault."""
    REJECTED = "rejected"
    RETRY = "retry"
    ABSENT = "absent"
    """Not mentioned in the reply."""


class Forgery(StrEnum):
    """What is wrong with the lease of a reply to a tenant that gets signed ones; the rest of the reply is as usual."""

    REPLAY_LEASE = "replay_lease"
    """The first lease that the subject got since the start: its nonce, and its sequence, are of that time."""
    WRONG_MACHINE = "wrong_machine"
    """For another device with other parts."""
    WRONG_KEY = "wrong_key"
    """Signed by a key that nobody trusts."""
    UNSIGNED = "unsigned"
    """There is none."""
    WRONG_NONCE = "wrong_nonce"
    """It answers another request."""
    WRONG_SUBJECT = "wrong_subject"
    """It is another camera's."""
    OLD_SEQUENCE = "old_sequence"
    """It has the nonce of the request and the sequence 0."""


class Rule(BaseModel):
    """A fault for every request whose path matches the glob ``path``, the next ``times`` times (``None``: for ever)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = "*"
    times: Annotated[int, Field(ge=1)] | None = None


class Refuse(Rule):
    """Cut the connection; the request is not looked at."""

    action: Literal["refuse"]


class Status(Rule):
    """Answer with an error; the request is not looked at."""

    action: Literal["status"]
    status: Annotated[int, Field(ge=400, le=599)]
    retry_after: Annotated[int, Field(ge=0)] | None = None
    """Seconds, for the Retry-After header."""


class CaptivePortal(Rule):
    """Answer as a hotel's network does: 200 with a login page, or a redirect to ``location``."""

    action: Literal["captive_portal"]
    location: str | None = None


class Garbage(Rule):
    """Answer 200 with JSON that breaks off; the request is not looked at."""

    action: Literal["garbage"]


class WrongTypes(Rule):
    """Answer 200 with JSON whose members are of the wrong types; the request is not looked at."""

    action: Literal["wrong_types"]


class DropReply(Rule):
    """Do all that was asked, and commit it; then cut the connection in place of the reply."""

    action: Literal["drop_reply"]


class Delay(Rule):
    """Wait before looking at the request."""

    action: Literal["delay"]
    ms: Annotated[int, Field(ge=0, le=_HOUR_MS)]


class WrongClock(Rule):
    """Say a ``server_time`` that is off by ``seconds``, and issue leases at that time."""

    action: Literal["wrong_clock"]
    seconds: Annotated[int, Field(ge=-_CENTURY_AND_A_HALF_S, le=_CENTURY_AND_A_HALF_S)]


class ClassicOnly(Rule):
    """Be the service of today: ignore what the extension adds, dedupe nothing, reply without it."""

    action: Literal["classic_only"]


class RefuseExtension(Rule):
    """Be a service of today that is strict as well: 400 for a request that carries fields of the extension."""

    action: Literal["refuse_extension"]


class StorageFailure(Rule):
    """Fail to store a usage batch, in the way of the contract: 200, nothing accepted."""

    action: Literal["storage_failure"]


class Partial(Rule):
    """Draw what becomes of each event from ``outcomes``, reproducibly by ``seed``."""

    action: Literal["partial"]
    outcomes: Annotated[list[Forced], Field(min_length=1)]
    seed: int = 0


class ForgeLease(Rule):
    """Answer with a lease that must not count."""

    action: Literal[
        Forgery.REPLAY_LEASE,
        Forgery.WRONG_MACHINE,
        Forgery.WRONG_KEY,
        Forgery.UNSIGNED,
        Forgery.WRONG_NONCE,
        Forgery.WRONG_SUBJECT,
        Forgery.OLD_SEQUENCE,
    ]


Terminal = Refuse | Status | CaptivePortal | Garbage | WrongTypes | DropReply
"""Faults that decide what the client gets. The first one that matches is the last rule that is looked at."""
Disturbance = Delay | WrongClock | ClassicOnly | RefuseExtension | ForgeLease | StorageFailure | Partial
"""Faults with which the request is answered all the same, late or wrongly. All that match hold together."""
Fault = Annotated[Terminal | Disturbance, Field(discriminator="action")]


class FaultOrder(BaseModel):
    """What POST /admin/faults takes: rules to add to the plan."""

    rules: list[Fault]
