"""From a change of a license to the outbox, and from there to every receiver. Built when the plugin is first called."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from tapi_agent.plugin import Health
from tapi_webhook.backoff import Backoff
from tapi_webhook.courier import Courier
from tapi_webhook.message import message
from tapi_webhook.outbox import Outbox
from tapi_webhook.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.plugin import LicenseChanged
    from tapi_webhook.message import Message
    from tapi_webhook.settings import Settings

_MOST_UNSAVED: Final = 10_000

_log = logging.getLogger(__name__)


class Teller:
    """All receivers of ``settings``. ``clock`` paces the tries."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = monotonic) -> None:
        self._folder = settings.folder
        self._outbox = Outbox(settings.folder, settings.urls)
        self._couriers = [
            Courier(Receiver(url, key=settings.key), self._outbox, keep=settings.keep, backoff=Backoff(clock=clock))
            for url in settings.urls
        ]
        self._unsaved: deque[Message] = deque(maxlen=_MOST_UNSAVED)
        self._trouble = ""

    def tell(self, change: LicenseChanged) -> None:
        """On disk when this returns; in memory, and tried again by ``sweep``, while the disk takes nothing."""
        self._unsaved.append(message(change))
        self.sweep()

    def sweep(self) -> None:
        """Save what is not saved yet, and see what can be delivered."""
        self._save()
        for courier in self._couriers:
            courier.start()

    def health(self) -> list[Health]:
        """The outbox, when it is in trouble, and each receiver."""
        return [*self._outbox_health(), *(courier.health() for courier in self._couriers)]

    def _outbox_health(self) -> list[Health]:
        if not self._trouble:
            return []
        detail = f"{len(self._unsaved)} messages are in memory only: {self._trouble}"
        fix = f"make {self._folder} writable for the agent's user, and room on its disk"
        return [Health(name="webhook outbox", healthy=False, detail=detail, fix=fix)]

    def _save(self) -> None:
        try:
            while self._unsaved:
                self._outbox.put(self._unsaved[0])
                self._unsaved.popleft()
        except (sqlite3.Error, OSError) as error:
            self._note(str(error))
        else:
            self._note("")

    def _note(self, trouble: str) -> None:
        if trouble and not self._trouble:
            _log.error("the webhook outbox in %s cannot be written: %s", self._folder, trouble)
        self._trouble = trouble
