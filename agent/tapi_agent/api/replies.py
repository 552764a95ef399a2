"""Documents on the wire: replies, and RFC 9457 problems with a code, the places, the remedy, whether a retry can help.

Owns their form; which error becomes which problem is ``api/errors.py``, what is in a reply ``api/schemas.py``.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.responses import JSONResponse
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA: Final = 1
"""Version of the documents' form: fields may be added under the same number."""
PROBLEM_TYPE: Final = "application/problem+json"


class Reply(JSONResponse):
    """A JSON object as reply, with the version of its form."""

    @override
    def render(self, content: Mapping[str, Any]) -> bytes:
        return _encoded({"schema": SCHEMA, **content})


class ExactReply(Reply):
    """A reply with JSON texts of applications in it (``orjson.Fragment``), taken over as they are."""

    @override
    def render(self, content: Mapping[str, Any]) -> bytes:
        return orjson.dumps({"schema": SCHEMA, **content})


class Problem(JSONResponse):
    """A refusal: ``{type, title, status, code, detail, fix, retryable[, errors]}``."""

    media_type = PROBLEM_TYPE

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        code: str,
        fix: str = "",
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        document = {
            "type": f"urn:tapi-agent:problem:{code}",
            "title": status.phrase,
            "status": int(status),
            "code": code,
            "detail": detail,
            "fix": fix,
            "retryable": status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE),
        }
        super().__init__(document | ({"errors": list(errors)} if errors else {}), int(status), headers)

    @override
    def render(self, content: Mapping[str, Any]) -> bytes:
        return _encoded(content)

    def as_bytes(self) -> bytes:
        """A whole HTTP/1.1 response that closes the connection, for refusals below the application."""
        status = HTTPStatus(self.status_code)
        lines = [f"HTTP/1.1 {int(status)} {status.phrase}".encode(), b"connection: close"]
        lines += [name + b": " + value for name, value in self.raw_headers]
        return b"\r\n".join([*lines, b"", bytes(self.body)])


def _encoded(document: Mapping[str, Any]) -> bytes:
    r"""JSON in UTF-8; half a surrogate pair, which UTF-8 cannot say, as ``\ud800``: JSON's own escape for it."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")
