"""What an outcome of the wire means to the agent: which error, in whose words, with which remedy. Pure.

Which error is which wire fact is fixed by ``ports.billing``; docs/errors.md lists the messages.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from tapi_agent.adapters.billing.moments import retry_after
from tapi_agent.adapters.billing.wire import NoReply, Reply
from tapi_agent.domain.delivery import TransportFailure
from tapi_agent.domain.errors import IntegrityError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from datetime import timedelta

_EXCERPT: Final = 120

_CREDENTIALS: Final = "check BILLING_API_KEY: the service must know it, and it must belong to this tenant"
_PORTAL: Final = (
    "something between this box and the service answered in its place (captive portal, proxy, wrong address): "
    "open the address from this box and check BILLING_SERVICE_URL"
)
_OVERLOADED: Final = "nothing to do here: the agent asks again by itself; tell the operators of the service if it lasts"

_BROKEN: Final = {
    TransportFailure.REFUSED: (
        "no connection",
        "check that the service runs, the address in BILLING_SERVICE_URL, and routes and firewalls",
    ),
    TransportFailure.DNS: (
        "its name cannot be resolved",
        "check this box's DNS servers and the host name in BILLING_SERVICE_URL",
    ),
    TransportFailure.TLS: (
        "no trusted TLS connection",
        "check this box's clock and its CA certificates (SSL_CERT_FILE names a site's own CA)",
    ),
    TransportFailure.TIMEOUT: (
        "no complete reply in time",
        "check the link; BILLING_TIMEOUT_MS allows more time",
    ),
    TransportFailure.RESET: (
        "the reply broke off or is not HTTP",
        "check proxies and firewalls on the way, and the log of the service",
    ),
}
_NO_ANSWER: Final = {
    401: ("the service does not accept the API key", _CREDENTIALS),
    403: ("the service forbids this to the API key", _CREDENTIALS),
    407: ("a proxy asks for credentials", "put them into HTTPS_PROXY, or exempt the service by NO_PROXY"),
    408: ("the service gave up waiting for the request", "check the link"),
    425: ("the service wants the request later", _OVERLOADED),
    429: ("the service asks for fewer requests", _OVERLOADED),
    511: ("the network asks for a login", _PORTAL),
}
_PASSING_FAILURES: Final = {TransportFailure.REFUSED, TransportFailure.DNS, TransportFailure.RESET}
_PASSING_STATUS: Final = {408, 425, 429}


def may_pass(outcome: Reply | NoReply, pause: timedelta) -> bool:
    """Whether asking again after ``pause`` makes sense.

    A timeout has used up the time of the call already; a wrong key, certificate or page does not mend within a second;
    ``Retry-After`` is a minimum.
    """
    if isinstance(outcome, NoReply):
        return outcome.failure in _PASSING_FAILURES
    wish = retry_after(outcome.headers)
    passing = outcome.status in _PASSING_STATUS or outcome.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return passing and (wish is None or wish <= pause)


def no_reply(call: str, outcome: NoReply) -> UnavailableError:
    """The error of a call without a complete reply."""
    what, fix = _BROKEN[outcome.failure]
    return UnavailableError(f"{call}: {what} ({outcome.detail})", fix=fix)


def refusal(call: str, reply: Reply) -> UnavailableError | RejectedError | None:
    """The error of a reply that is no success; ``None`` for 2xx."""
    if reply.success:
        return None
    if no_answer := _no_answer(reply):
        return _unavailable(call, reply, *no_answer)
    if reply.status == HTTPStatus.NOT_FOUND:
        return RejectedError(
            f"{call}: 404, the service does not know it ({excerpt(reply)})",
            code="not_found",
            fix="check camera and tenant at the service, and the path of BILLING_SERVICE_URL (it ends in /api/v1)",
        )
    return RejectedError(
        f"{call}: {reply.status}, the service refuses the request ({excerpt(reply)})",
        code="bad_request",
        fix="check TENANT_ID and the camera's id; BILLING_DIALECT=classic if the service is an old one",
    )


def unreadable(call: str, reply: Reply) -> UnavailableError | IntegrityError:
    """The error of a success that is not JSON: a reply of the service cut short, or a page of somebody else's."""
    if reply.body.lstrip().startswith((b"{", b"[")):
        return IntegrityError(
            f"{call}: {reply.status} with malformed JSON: {excerpt(reply)}", fix=_BROKEN[TransportFailure.RESET][1]
        )
    kind = printable(reply.headers.get("content-type", "")) or "no content type"
    return _unavailable(call, reply, f"{kind} instead of JSON: {excerpt(reply)}", _PORTAL)


def excerpt(reply: Reply) -> str:
    """The start of a reply's text, safe to show on a terminal."""
    return printable(reply.body[: 4 * _EXCERPT].decode(errors="replace")) or "no text"


def printable(text: str) -> str:
    """Text of a stranger on one line: at most 120 characters, nothing that moves a cursor."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_EXCERPT]


def _no_answer(reply: Reply) -> tuple[str, str] | None:
    """What happened and the fix, for a status that says nothing about the request itself."""
    match reply.status:
        case known if known in _NO_ANSWER:
            return _NO_ANSWER[known]
        case failed if failed >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return "the service has failed", _OVERLOADED
        case redirect if redirect < HTTPStatus.BAD_REQUEST:
            where = printable(reply.headers.get("location", "").partition("?")[0])
            return f"a redirect to {where or 'nowhere'}, not followed", _PORTAL
        case _:
            return None


def _unavailable(call: str, reply: Reply, what: str, fix: str) -> UnavailableError:
    return UnavailableError(f"{call}: {reply.status}, {what}", fix=fix, retry_after=retry_after(reply.headers))
