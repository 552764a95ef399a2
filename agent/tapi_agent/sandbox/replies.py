"""Replies as the contract has them: exact JSON, and the form of each error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, PlainTextResponse, Response
from typing_extensions import override

from tapi_agent.domain.errors import RejectedError
from tapi_agent.sandbox import exact_json

if TYPE_CHECKING:
    from starlette.requests import Request

_STATUS: Final = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "in_progress": 409,
    "too_large": 413,
    "key_reused": 422,
    "count_mismatch": 422,
    "sha256_mismatch": 422,
}
"""Every other refusal is a 400."""
_TEXT: Final = {400, 404, 413}


class ExactJSON(JSONResponse):
    """JSON in which a ``Decimal`` is a number with every digit."""

    @override
    def render(self, content: object) -> bytes:
        return exact_json.dump(content)


def refusal(error: RejectedError) -> Response:
    """400, 404 and 413 are plain text; the others are ``{"error": …}``, with a ``code`` to act on."""
    status = _STATUS.get(error.code, 400)
    if status in _TEXT:
        return PlainTextResponse(str(error), status_code=status)
    return ExactJSON({"error": str(error), "code": error.code}, status_code=status)


async def refuse(_: Request, error: Exception) -> Response:
    """Starlette's handler for ``RejectedError``."""
    assert isinstance(error, RejectedError)  # noqa: S101 - registered for no other
    return refusal(error)


async def hang_up(_: Request, __: Exception) -> Response:
    """Starlette's handler for a client that left before its request was complete: nothing was done, nobody listens."""
    return Response(status_code=400)
