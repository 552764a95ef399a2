"""Brings one receiver what waits for it, in the order of each subject. Owns the thread on which that happens.

``start``, ``health`` and nothing else are called by the plugin; a receiver that hangs holds up its own courier only.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from tapi_webhook.backoff import Backoff
    from tapi_webhook.message import Message
    from tapi_webhook.outbox import Outbox
    from tapi_webhook.receiver import Failure, Post, Receiver

_EVERYTHING: Final = None
"""Backed off from when it is the receiver or the disk that fails, and not one subject's message."""
_ENOUGH_S: Final = 3600.0
_SHOWN: Final = 10
_FIX: Final = "see whether the receiver runs and takes the signature; then wait, the next try comes by itself"

_log = logging.getLogger(__name__)


class Courier:
    """Carries messages from ``outbox`` to ``receiver``.

    One older than ``keep`` is given up when trying has failed for an hour on end: not at the first try of a box that
    was in a cupboard for a month, nor because a clock has jumped.
    """

    def __init__(self, receiver: Receiver, outbox: Outbox, *, keep: timedelta, backoff: Backoff) -> None:
        self._receiver = receiver
        self._outbox = outbox
        self._keep = keep
        self._backoff = backoff
        self._round: Thread | None = None
        self._troubles: dict[str | None, str] = {}
        self._given_up = 0

    def start(self) -> None:
        """Begin a round, unless one is under way."""
        if self._round is None or not self._round.is_alive():
            self._round = Thread(target=self.deliver, name=f"webhook-{self._receiver.origin}", daemon=True)
            self._round.start()

    def deliver(self) -> None:
        """Everything that is due, until the receiver or the disk fails."""
        try:
            with self._receiver.connected() as post:
                while self._backoff.due(_EVERYTHING) and (due := self._due()):
                    for message in due:
                        if not self._carry(message, post):
                            return
        except (sqlite3.Error, OSError) as error:
            self._fails(_EVERYTHING, f"the outbox cannot be used: {error}")

    def health(self) -> Health:
        """Whether what happened was told."""
        troubles = [*self._troubles.values()]
        if self._given_up:
            troubles.append(f"{self._given_up} messages were given up since the start, their ids are in the log")
        return Health(
            name=f"webhook {self._receiver.origin}",
            healthy=not troubles,
            detail="; ".join(troubles[-_SHOWN:]),
            fix=_FIX if troubles else "",
        )

    def _due(self) -> list[Message]:
        return [message for message in self._outbox.heads(self._receiver.url) if self._backoff.due(message.subject)]

    def _carry(self, message: Message, post: Post) -> bool:
        """Whether to go on with the next one."""
        if (failure := post(message)) is not None:
            return self._failed(message, failure)
        self._outbox.remove(self._receiver.url, message.message_id)
        self._works(message.subject)
        return True

    def _failed(self, message: Message, failure: Failure) -> bool:
        if failure.of_receiver:
            self._fails(_EVERYTHING, failure.detail, at_least=failure.retry_after)
            self._give_up_all()
            return False
        self._works()
        self._fails(message.subject, f"{failure.detail} for {message.subject}")
        self._give_up_one(message)
        return True

    def _give_up_all(self) -> None:
        if self._backoff.failing_for(_EVERYTHING) >= _ENOUGH_S:
            self._count_given_up(self._outbox.give_up(self._receiver.url, before=self._oldest_kept()))

    def _give_up_one(self, message: Message) -> None:
        if self._backoff.failing_for(message.subject) >= _ENOUGH_S and message.at < self._oldest_kept():
            self._outbox.remove(self._receiver.url, message.message_id)
            self._count_given_up([message.message_id])

    def _oldest_kept(self) -> datetime:
        return datetime.fromtimestamp(self._receiver.wall(), UTC) - self._keep

    def _count_given_up(self, ids: Sequence[str]) -> None:
        self._given_up += len(ids)
        if ids:
            named = ", ".join(ids[:_SHOWN])
            _log.error(
                "webhook %s: %d messages older than %s given up: %s",
                self._receiver.origin,
                len(ids),
                self._keep,
                named,
            )

    def _fails(self, key: str | None, trouble: str, *, at_least: float = 0.0) -> None:
        self._backoff.failed(key, at_least=at_least)
        if key not in self._troubles:
            _log.warning("webhook %s: %s; it is tried again", self._receiver.origin, trouble)
        self._troubles[key] = trouble

    def _works(self, *keys: str | None) -> None:
        for key in (_EVERYTHING, *keys):
            self._backoff.succeeded(key)
            if self._troubles.pop(key, None):
                _log.info("webhook %s: messages are taken again", self._receiver.origin)
