"""Many values as one parameter: a JSON array that json_to_recordset takes apart (ADR 0032)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from tapi_agent.domain.errors import InvalidInputError
from tapi_agent.domain.usage import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_parameter(values: Sequence[object]) -> str:
    """Dataclasses or dictionaries. Raises ``InvalidInputError`` for text that is none in UTF-8."""
    try:
        return orjson.dumps(values).decode()
    except orjson.JSONEncodeError as error:
        raise InvalidInputError(
            f"cannot be stored: {error}", code=Refusal.BAD_TEXT, fix="send text without half surrogate pairs"
        ) from error
