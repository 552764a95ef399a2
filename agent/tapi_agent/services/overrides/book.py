"""The words so far: a shared table that is replaced as a whole, and the noticing of what has changed in it.

Owns the generation and when the words are written down. Called by ``service``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from tapi_agent.domain.override import Override
    from tapi_agent.ports.overrides import OverrideStore

log = structlog.get_logger(__name__)


class Book:
    """``words`` by feature, never changed in place; ``generation`` rises whenever the effect of one has changed."""

    def __init__(self, store: OverrideStore) -> None:
        self._store = store
        self._listeners: list[Callable[[], None]] = []
        self.words: Mapping[str, Override] = MappingProxyType({})
        self.generation = 0
        self._kept = True

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever ``generation`` has risen."""
        self._listeners.append(listener)

    async def load(self) -> None:
        """Take up the words of the last run; without them the packs decide alone, until the service speaks."""
        try:
            kept = await self._store.load()
        except UnavailableError as error:
            log.warning("overrides.not_read", error=str(error), fix=error.fix)
            return
        self.change({word.feature: word for word in kept}, gone=())
        self._kept = True

    async def keep(self) -> None:
        """Write down what has changed; what cannot be written now is written the next time."""
        if self._kept:
            return
        try:
            await self._store.save(self.words.values())
            self._kept = True
        except UnavailableError as error:
            log.warning("overrides.not_kept", error=str(error), fix=error.fix)

    def change(self, news: Mapping[str, Override], *, gone: Collection[str]) -> None:
        """Put ``news`` in the place of what was known, and forget the words on what is ``gone``."""
        before = self.words
        after = {feature: word for feature, word in {**before, **news}.items() if feature not in gone}
        if after == before:
            return
        self._kept = False
        self.words = MappingProxyType(after)
        changed = [one for one in {**before, **after} if _effect(before.get(one)) != _effect(after.get(one))]
        if changed:
            self.generation += 1
            log.info("overrides.changed", **_told(changed, after))
            for listener in self._listeners:
                listener()

    def is_new_denial(self, word: Override) -> bool:
        """Whether it would take something away."""
        known = self.words.get(word.feature)
        return not word.enabled and (known is None or known.enabled)


def _effect(word: Override | None) -> tuple[bool, datetime | None] | None:
    """What a word comes to, whenever it was said; a denial has no end."""
    return None if word is None else (word.enabled, word.valid_until if word.enabled else None)


def _told(changed: Collection[str], after: Mapping[str, Override]) -> dict[str, list[str]]:
    return {
        "granted": [feature for feature in changed if feature in after and after[feature].enabled],
        "denied": [feature for feature in changed if feature in after and not after[feature].enabled],
        "gone": [feature for feature in changed if feature not in after],
    }
