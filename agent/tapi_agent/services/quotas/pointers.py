"""What a fault in an event is called for somebody who has sent a reservation or a commit."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tapi_agent.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def pointing(places: Mapping[str, str]) -> Iterator[None]:
    """Faults at the places of an event come out as faults at these places of the request."""
    try:
        yield
    except InvalidInputError as error:
        pointer = places.get(error.pointer, error.pointer)
        raise InvalidInputError(str(error), code=error.code, pointer=pointer, fix=error.fix) from error
