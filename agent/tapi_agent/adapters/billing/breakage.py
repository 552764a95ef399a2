"""Which ``TransportFailure`` an exception of an exchange is, and the system's own words for it. Pure."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import httpx

from tapi_agent.domain.delivery import TransportFailure

if TYPE_CHECKING:
    from collections.abc import Iterator


def failure_of(error: Exception) -> TransportFailure:
    """TLS only while connecting: a TLS error later is a broken connection, whose request may have arrived."""
    if not isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return TransportFailure.RESET
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return TransportFailure.DNS
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return TransportFailure.TLS
    return TransportFailure.REFUSED


def detail_of(error: Exception) -> str:
    """The innermost words: the system's reason rather than a library's summary of it."""
    *_, innermost = _causes(error)
    if isinstance(innermost, ssl.SSLCertVerificationError):
        return innermost.verify_message
    return getattr(innermost, "strerror", None) or str(innermost) or type(innermost).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # A TLS stream that waits for bytes is no cause: it is how ssl says so.
    while error is not None and not isinstance(error, ssl.SSLWantReadError):
        yield error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
