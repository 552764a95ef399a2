"""What is known of the billing service that usage goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapi_agent.domain.batch import Dialect

if TYPE_CHECKING:
    from tapi_agent.ports.usage import Memory


class ServiceFacts:
    """Of the service at ``service``; ``dialect`` as it is configured, ``None`` for whatever it takes."""

    def __init__(self, *, memory: Memory, service: str, dialect: Dialect | None) -> None:
        self._memory = memory
        self._service = service
        self._dialect = dialect

    async def dedupes(self) -> bool:
        """Whether what is sent twice is billed once: it has shown that, and is sent the ids that it takes."""
        known = await self._memory.recall(self._service)
        return known.dedupes and (self._dialect or known.dialect) is Dialect.EXTENDED
