"""The sink that the agent hands events to. Owns the time it takes: a slow receiver is waited for beside the agent.

``send`` is called on the plugin's own thread and answers in time; what goes over the network has a thread of its own.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health
from tapi_cloudevents.dispatch import Parcel, dispatch
from tapi_cloudevents.form import cloudevent
from tapi_cloudevents.receiver import NotTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from tapi_agent.plugin import UsageEvent
    from tapi_cloudevents.dispatch import SetAside
    from tapi_cloudevents.receiver import Receiver

_SHOWN: Final = 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """Events on their way, and how it ends."""

    ids: frozenset[UUID]
    outcome: Future[list[SetAside]] = field(default_factory=Future)


class CloudEventsSink:
    """As ``tapi_agent.plugin.UsageSink``. ``patience`` is how many seconds ``send`` may take, of the agent's five."""

    name = "cloudevents"

    def __init__(
        self, receiver: Receiver, *, prefix: str, patience: float = 4.0, clock: Callable[[], float] = monotonic
    ) -> None:
        self._receiver = receiver
        self._prefix = prefix
        self._patience = patience
        self._clock = clock
        self._not_before = 0.0
        self._attempt: _Attempt | None = None
        self._taken: set[UUID] = set()
        self._trouble = ""
        self._set_aside = 0

    def send(self, events: Sequence[UsageEvent]) -> None:
        """Return when the receiver has every event, or has refused it for good; raise to be given them again.

        An attempt that outlasts ``patience`` goes on, and the next ``send`` finds what became of it: what arrived
        meanwhile is not sent twice.
        """
        try:
            self._send(events)
        except NotTakenError as error:
            self._trouble = str(error)
            raise
        self._trouble = ""

    def health(self) -> Health:
        """Whether the receiver took what it was last given."""
        return Health(
            name="cloudevents",
            healthy=not self._trouble,
            detail=self._trouble or f"{self._set_aside} events set aside since the start",
            fix="see whether the receiver at CLOUDEVENTS_URL runs, and what its log says" if self._trouble else "",
        )

    def _send(self, events: Sequence[UsageEvent]) -> None:
        deadline = self._clock() + self._patience
        self._conclude(deadline)
        rest = [event for event in events if event.event_id not in self._taken]
        if rest:
            self._begin(rest)
            self._conclude(deadline)
        self._taken.difference_update(event.event_id for event in events)

    def _begin(self, events: Sequence[UsageEvent]) -> None:
        if (wait := self._not_before - self._clock()) > 0:
            raise NotTakenError(f"the receiver asked to be left alone for another {wait:.0f} s")
        parcels = [
            Parcel(event_id=str(event.event_id), text=cloudevent(event, prefix=self._prefix)) for event in events
        ]
        attempt = _Attempt(ids=frozenset(event.event_id for event in events))
        self._attempt = attempt
        Thread(target=self._run, args=(parcels, attempt.outcome), name="cloudevents", daemon=True).start()

    def _run(self, parcels: Sequence[Parcel], outcome: Future[list[SetAside]]) -> None:
        try:
            with self._receiver.connected() as post:
                outcome.set_result(dispatch(parcels, post))
        except BaseException as error:  # noqa: BLE001 - whatever it is, ``send`` raises it
            outcome.set_exception(error)

    def _conclude(self, deadline: float) -> None:
        """Wait for the attempt under way, if there is one."""
        if (attempt := self._attempt) is None:
            return
        try:
            error = attempt.outcome.exception(max(0.0, deadline - self._clock()))
        except TimeoutError:
            raise NotTakenError("the receiver has not answered yet") from None
        self._attempt = None
        self._learn(attempt, error)

    def _learn(self, attempt: _Attempt, error: BaseException | None) -> None:
        if isinstance(error, NotTakenError):
            self._not_before = self._clock() + error.retry_after
        if error is not None:
            raise error
        self._taken |= attempt.ids
        self._report(attempt.outcome.result())

    def _report(self, set_aside: Sequence[SetAside]) -> None:
        self._set_aside += len(set_aside)
        if set_aside:
            named = "; ".join(f"{one.event_id}: {one.detail}" for one in set_aside[:_SHOWN])
            _log.warning(
                "the CloudEvents receiver refuses %d events and takes others; they are not sent again: %s",
                len(set_aside),
                named,
            )
