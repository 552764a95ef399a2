"""One store of the mark of trusted time as the timekeeper uses it: read once after each loss, then written.

Owns whether the store has been read, and what status says of it; logs edges. What a mark means is
``domain.trusted_time``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tapi_agent.domain.errors import IntegrityError, TapiError

if TYPE_CHECKING:
    from tapi_agent.domain.trusted_time import Mark
    from tapi_agent.ports.clock import MarkStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkReport:
    """Whether a store holds the mark, ``None`` before the first try; ``problem`` and ``fix`` tell why not."""

    name: str
    held: bool | None = None
    problem: str = ""
    fix: str = ""


class KeptMark:
    """The mark in one store. ``was_read`` is False until it is known what the store holds, and again once it is lost.

    Only then may it be written over: what it holds may be newer than what we know.
    """

    def __init__(self, store: MarkStore) -> None:
        self._store = store
        self.was_read = False
        self._held: bool | None = None
        self._problem: TapiError | None = None

    async def load(self) -> Mark | None:
        """What is kept; ``None`` when there is nothing, nothing genuine (reported), or no answer."""
        try:
            stored = await self._store.load()
        except IntegrityError as error:
            # The agent goes on without it, and writes the next one over it.
            log.error("clock.mark_lost", store=self._store.name, error=str(error), fix=error.fix)  # noqa: TRY400 - no bug
            self._note(error)
            stored = None
        except TapiError as error:
            self._note(error)
            return None
        else:
            self._held, self._problem = stored is not None, None
        self.was_read = True
        return stored

    async def save(self, mark: Mark) -> None:
        """Keep it; when that fails the agent goes on."""
        try:
            await self._store.save(mark)
        except TapiError as error:
            if self._problem is None:
                log.warning("clock.mark_not_saved", store=self._store.name, error=str(error), fix=error.fix)
            self._note(error)
            self.was_read = False
        else:
            self._held, self._problem = True, None

    def describe(self) -> MarkReport:
        """This store, for status."""
        problem = self._problem
        return MarkReport(
            name=self._store.name,
            held=self._held,
            problem=str(problem) if problem else "",
            fix=problem.fix if problem else "",
        )

    def _note(self, error: TapiError) -> None:
        self._held, self._problem = False, error
