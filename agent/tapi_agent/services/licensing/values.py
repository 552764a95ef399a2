"""What licensing is told and what it answers, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tapi_agent.domain.license import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tapi_agent.domain.ids import CameraId
    from tapi_agent.domain.license import Evidence, Flag, LicenseState, Reason, Standing, Subject, Transition
    from tapi_agent.ports.billing import BillingService
    from tapi_agent.ports.clock import AuthorityClock, Clock
    from tapi_agent.ports.licenses import OpenRequest
    from tapi_agent.services.connectivity import Connectivity
    from tapi_agent.services.licensing.leases import Leases


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensePolicy:
    """How to license: from settings.

    ``durations`` of classic evidence; ``ask`` False is an air-gapped box; ``bypass`` (development) lets everything
    pass; ``first_contact`` is how long silence after boot, resume or a clock change does not yet count as a lost
    link; ``confirm_denial`` how long an unsigned denial of a running camera waits before it is asked about again;
    ``tick`` how late an edge may come.
    """

    durations: Durations = field(default_factory=Durations)
    ask: bool = True
    bypass: bool = False
    first_contact: timedelta = timedelta(seconds=60)
    confirm_denial: timedelta = timedelta(seconds=60)
    parallel: int = 8
    backoff_first: timedelta = timedelta(seconds=1)
    backoff_limit: timedelta = timedelta(minutes=15)
    tick: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every part of licensing works with.

    ``tenant`` is the subject of this device without a camera; ``clock`` trusted time, ``machine`` the raw clocks;
    ``leases`` examines signed leases; ``entropy(n)`` gives n random bytes.
    """

    tenant: Subject
    policy: LicensePolicy
    billing: BillingService
    connectivity: Connectivity
    clock: AuthorityClock
    machine: Clock
    leases: Leases
    entropy: Callable[[int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseView:
    """How one camera stands.

    ``evidence`` is its own or the tenant's, from ``tier`` (billing, file, redis, postgres); ``since`` when it entered
    its state, trusted time; ``problem`` why the last attempt brought no answer.
    """

    camera_id: CameraId
    standing: Standing
    since: datetime
    evidence: Evidence | None = None
    tier: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLicense:
    """The device as a whole: the state of its worst camera, and how many cameras are in each.

    ``trusted_keys`` by id; ``drifted`` names marks of this machine that have changed since a lease was issued.
    """

    state: LicenseState
    reason: Reason
    since: datetime
    next_transition: Transition | None
    flags: frozenset[Flag]
    counts: Mapping[LicenseState, int]
    open_request: OpenRequest | None = None
    drifted: Sequence[str] = ()
    trusted_keys: Sequence[str] = ()


class Answer(StrEnum):
    """What asking about one camera brought."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """No answer for this camera only: unknown to the service, a malformed or older word."""
    UNREACHABLE = "unreachable"
    """No answer that any camera could have had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRound:
    """One round of asking: how many cameras were meant and what came; a round that stops early asks fewer.

    The tenant, which is asked about with them, is not counted.
    """

    cameras: int
    answered: int
    refused: int
    unreachable: int
