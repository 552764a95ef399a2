"""Where the billing service is and what is sent with every request: checked once, when the client is built."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import certifi
import httpx

from tapi_agent.domain.errors import ConfigurationError

_API: Final = "/api/v1"
_PORTS: Final = range(1, 2**16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``base`` carries the API (no trailing slash); ``root`` is the server's own root, where ``/health`` is."""

    base: str
    root: str
    loopback: bool


def endpoint(base_url: str) -> Endpoint:
    """Of BILLING_SERVICE_URL; a prefix before ``/api/v1`` belongs to the root. Raises ``ConfigurationError``."""
    try:
        url = httpx.URL(base_url.strip())
        url.raw_host.decode().encode("idna")  # what the resolver will do: it refuses empty and too long labels
    except (httpx.InvalidURL, UnicodeError) as error:
        raise _bad_url(str(error)) from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise _bad_url("it needs http:// or https:// and a host")
    if url.port is not None and url.port not in _PORTS:
        raise _bad_url(f"there is no port {url.port}")
    if url.userinfo or url.query or url.fragment:
        raise _bad_url("user, password, query and fragment have no place in it")
    origin, path = str(url.copy_with(path="/")).rstrip("/"), url.path.rstrip("/")
    prefix = path.removesuffix(_API) if path.endswith(_API) else ""
    return Endpoint(base=origin + path, root=origin + prefix, loopback=_is_loopback(url.host))


def request_headers(*, api_key: str, agent_version: str) -> dict[str, str]:
    """Of every request; no Authorization without a key. Raises ``ConfigurationError``, which never shows the key."""
    if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise ConfigurationError(
            "BILLING_API_KEY holds a space, a line break or a character that no HTTP header can carry",
            fix="copy the key again, without quotes and line breaks; printf, unlike echo, writes a file without one",
        )
    headers = {
        # A reply is small; unasked compression would only open the door to a decompression bomb.
        "Accept-Encoding": "identity",
        "Accept": "application/json",
        "User-Agent": f"tapi-agent/{agent_version}",
    }
    return headers | {"Authorization": f"Bearer {api_key}"} if api_key else headers


def tls_context() -> ssl.SSLContext:
    """Trust in the system's CAs (a site's own, SSL_CERT_FILE) and the public ones, which a bare image lacks."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bad_url(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"BILLING_SERVICE_URL is not the address of a billing service: {why}",
        fix="give it like https://billing.example.com/api/v1",
    )
