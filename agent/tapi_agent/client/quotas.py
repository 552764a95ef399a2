"""The calls of an ``AgentClient`` about quotas: what is left, and spending of it without ever going beyond.

Which requests these are; how one is sent and what its failures are called is ``connection``'s.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tapi_agent.domain.errors import RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from tapi_agent.client.connection import Connection


class Spending:
    """A reservation while it is being spent: set ``actual`` to what was used; unset, it is all that was reserved.

    ``details`` are further fields of ``commit``, such as ``resource_id``.
    """

    def __init__(self, reservation_id: str, amount: Decimal | int | str) -> None:
        self.reservation_id = reservation_id
        self.amount = amount
        self.actual: Decimal | int | str | None = None
        self.details: dict[str, object] = {}


class QuotaCalls:
    """Quotas over ``connection``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def quota(self) -> dict[str, Any]:
        """Every quota: limit, used, reserved, remaining, when it starts anew."""
        return self._connection.call("GET", "/api/v1/quota")

    def reserve(
        self, meter: str, amount: Decimal | int | str, *, idempotency_key: str | None = None, **fields: object
    ) -> dict[str, Any]:
        """Set an amount of a meter aside before it is used; ``granted`` says whether there was as much.

        A lost reply cannot reserve twice: the key is fixed before the first send. Bring your own to ask again after an
        ``UnavailableError``. ``fields``: ttl_s (seconds, at most 600; default 60), camera_id.
        """
        key = idempotency_key or uuid4().hex
        document = {"meter": meter, "amount": str(amount), **fields}
        return self._connection.call("POST", "/api/v1/quota/reserve", document, idempotency_key=key)

    def commit(self, reservation_id: str, actual: Decimal | int | str, **fields: object) -> dict[str, Any]:
        """Record what was used, and give back the rest; repeated, it counts once, however late.

        ``fields``: resource_id, resource_type, billable, metadata.
        """
        document = {"reservation_id": reservation_id, "actual": str(actual), **fields}
        return self._connection.call("POST", "/api/v1/quota/commit", document)

    def release(self, reservation_id: str) -> dict[str, Any]:
        """Give all of it back: nothing was used."""
        return self._connection.call("POST", "/api/v1/quota/release", {"reservation_id": reservation_id})

    @contextmanager
    def spending(self, meter: str, amount: Decimal | int | str, **fields: object) -> Iterator[Spending]:
        """Reserve, and at the end of the block commit the ``actual`` set on what it yields.

        When the block raises and ``actual`` is not set, nothing was used and all is released. Denied, the block does
        not run: ``RejectedError`` with code QUOTA_EXCEEDED, or ``UnavailableError`` when a later try may succeed.
        ``fields`` are those of ``reserve``.
        """
        answer = self.reserve(meter, amount, idempotency_key=None, **fields)
        if not answer["granted"]:
            raise _denial(meter, answer)
        spending = Spending(answer["reservation_id"], amount)
        try:
            yield spending
        except BaseException:
            self._break_off(spending)
            raise
        self._commit(spending, amount if spending.actual is None else spending.actual)

    def _break_off(self, spending: Spending) -> None:
        if spending.actual is not None:
            self._commit(spending, spending.actual)
            return
        with suppress(UnavailableError):  # then it comes back by itself, at the end of its ttl
            self.release(spending.reservation_id)

    def _commit(self, spending: Spending, actual: Decimal | int | str) -> None:
        self.commit(spending.reservation_id, actual, **spending.details)


def _denial(meter: str, answer: dict[str, Any]) -> RejectedError | UnavailableError:
    message, fix = f"not as much of {meter} is left: {answer['reason']}", answer["fix"]
    if answer["retryable"]:
        return UnavailableError(message, fix=fix)
    return RejectedError(message, code=answer["reason"], fix=fix)
