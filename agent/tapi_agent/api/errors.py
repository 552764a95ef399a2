"""Which problem an error is on the wire: status, code, the places that are wrong. Installed by ``api/app.py``."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tapi_agent.api.replies import Problem
from tapi_agent.domain.errors import InvalidInputError, NoSpaceError, RejectedError, TapiError, UnavailableError
from tapi_agent.domain.lease import LeaseRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

_STATUS_OF_CODE: Final = {
    "forbidden": HTTPStatus.FORBIDDEN,
    "camera_unknown": HTTPStatus.NOT_FOUND,
    "camera_elsewhere": HTTPStatus.CONFLICT,
    "no_tenant": HTTPStatus.CONFLICT,
    "idempotency_conflict": HTTPStatus.CONFLICT,
    "reservation_unknown": HTTPStatus.NOT_FOUND,
    "reservation_committed": HTTPStatus.CONFLICT,
    "batch_not_in_doubt": HTTPStatus.CONFLICT,
    "service_does_not_dedupe": HTTPStatus.CONFLICT,
    "database_rejected": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Refusals that are not about what the body says; all others are 400."""
_OF_HTTP_ITSELF: Final = {
    HTTPStatus.NOT_FOUND: ("unknown_route", "there is no such route", "docs/api.md lists them"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method_not_allowed",
        "not with this method",
        "use one that the Allow header names",
    ),
}


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    app.add_exception_handler(TapiError, _deliberate)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def item_error(error: InvalidInputError, *, under: str = "") -> dict[str, str]:
    """One entry of ``errors``: where and what; ``under`` is the pointer of the item in which it was found."""
    pointer = error.pointer.replace("#", f"#{under}", 1)
    return {"pointer": pointer, "code": error.code, "detail": str(error), "fix": error.fix}


async def _deliberate(_request: Request, error: Exception) -> Problem:
    match error:
        case RejectedError():
            status = _STATUS_OF_CODE.get(error.code, HTTPStatus.BAD_REQUEST)
            places = [item_error(error)] if isinstance(error, InvalidInputError) else []
            return Problem(status, str(error), code=error.code, fix=error.fix, errors=places)
        case UnavailableError():
            return _unavailable(error)
        case LeaseRefusedError():
            return _refused(error)
        case _:
            fix = cast("TapiError", error).fix
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), code="internal", fix=fix)


def _refused(error: LeaseRefusedError) -> Problem:
    why = {"pointer": "#", "code": error.reason, "detail": str(error), "fix": error.fix}
    return Problem(HTTPStatus.BAD_REQUEST, str(error), code="lease_refused", fix=error.fix, errors=[why])


def _unavailable(error: UnavailableError) -> Problem:
    wait = error.retry_after.total_seconds() if error.retry_after else 1
    headers = {"Retry-After": str(max(1, round(wait)))}
    if isinstance(error, NoSpaceError):
        status = HTTPStatus.INSUFFICIENT_STORAGE
        return Problem(status, str(error), code="no_space", fix=error.fix, headers=headers)
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return Problem(status, str(error), code="unavailable", fix=error.fix, headers=headers)


async def _parameters(_request: Request, error: Exception) -> Problem:
    """A part of the address is wrong: the name of a query parameter or of a part of the path stands as its pointer."""
    places = [_place(detail) for detail in cast("RequestValidationError", error).errors()]
    names = ", ".join(place["pointer"] for place in places)
    return Problem(
        HTTPStatus.BAD_REQUEST,
        f"{names}: {places[0]['detail']}",
        code="bad_parameter",
        fix="docs/api.md says what is allowed",
        errors=places,
    )


def _place(detail: Mapping[str, object]) -> dict[str, str]:
    where, name, *_ = cast("Sequence[object]", detail["loc"])
    pointer = f"?{name}" if where == "query" else f"{{{name}}}"
    return {"pointer": pointer, "code": str(detail["type"]), "detail": str(detail["msg"]), "fix": ""}


async def _http(request: Request, error: Exception) -> Problem:
    refusal = cast("HTTPException", error)
    status = HTTPStatus(refusal.status_code)
    code, detail, fix = _OF_HTTP_ITSELF[status]
    call = f"{request.method} {request.scope['path']}"
    return Problem(status, f"{call}: {detail}", code=code, fix=fix, headers=refusal.headers)


async def _bug(_request: Request, _error: Exception) -> Problem:
    """Answers only: the error goes on to uvicorn, which logs it with its traceback."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "the agent failed to handle this request",
        code="internal",
        fix="see the agent's log, and report it",
    )
