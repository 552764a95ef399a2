"""Where to and how: the settings CLOUDEVENTS_…, read from the environment when the plugin is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``url`` takes the batches; ``token`` is sent as a bearer, and shown nowhere; ``prefix`` stands before a type."""

    url: str
    token: str = field(default="", repr=False)
    prefix: str = ""

    @property
    def loopback(self) -> bool:
        """Whether the receiver is this machine itself."""
        return _is_loopback(httpx.URL(self.url).host)


def read(environ: Mapping[str, str]) -> Settings | None:
    """The settings; ``None`` without an address. Raises ``ValueError`` for what can never work, and shows no secret."""
    url = environ.get("CLOUDEVENTS_URL", "").strip()
    if not url:
        return None
    settings = Settings(
        url=url,
        token=environ.get("CLOUDEVENTS_TOKEN", "").strip(),
        prefix=environ.get("CLOUDEVENTS_TYPE_PREFIX", "").strip(),
    )
    _check_url(url)
    _check_token(settings)
    if not settings.prefix.isprintable():
        raise ValueError("CLOUDEVENTS_TYPE_PREFIX must be printable")
    return settings


def _check_url(text: str) -> None:
    try:
        url = httpx.URL(text)
        usable = url.scheme in {"http", "https"} and url.host and not url.userinfo and not url.fragment
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise ValueError("CLOUDEVENTS_URL must be http(s)://HOST[:PORT]/PATH, without user, password and fragment")


def _check_token(settings: Settings) -> None:
    if not re.fullmatch(r"[!-~]*", settings.token):
        raise ValueError("CLOUDEVENTS_TOKEN must be ASCII without spaces")
    if settings.token and httpx.URL(settings.url).scheme != "https" and not settings.loopback:
        raise ValueError("CLOUDEVENTS_TOKEN would cross the network in the clear: make CLOUDEVENTS_URL https")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
