"""Whom to tell and how: the settings WEBHOOK_…, read from the environment when the plugin is loaded."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEEP_DAYS: Final = re.compile(r"[1-9][0-9]{0,2}")
_KEY_BYTES: Final = range(24, 65)
"""What Standard Webhooks allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The receivers, the key that signs, the folder of the outbox, and how long an undeliverable edge is kept there."""

    urls: tuple[str, ...]
    key: bytes = field(repr=False)
    folder: Path
    keep: timedelta


def read(environ: Mapping[str, str]) -> Settings | None:
    """The settings; ``None`` without a receiver. Raises ``ValueError`` for what can never work, and shows no secret."""
    urls = tuple(dict.fromkeys(url.strip() for url in environ.get("WEBHOOK_URLS", "").split(",") if url.strip()))
    if not urls:
        return None
    for url in urls:
        _check(url)
    return Settings(
        urls=urls, key=_key(environ.get("WEBHOOK_SECRET", "").strip()), folder=_folder(environ), keep=_keep(environ)
    )


def _check(text: str) -> None:
    try:
        url = httpx.URL(text)
        usable = url.scheme in {"http", "https"} and url.host and not url.userinfo and not url.fragment
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise ValueError("WEBHOOK_URLS must be http(s)://HOST[:PORT]/PATH each, without user and password")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ValueError("WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64: openssl rand -base64 32")
    return key


def _folder(environ: Mapping[str, str]) -> Path:
    """The one that is named, or one in the agent's state directory, as far as the environment tells where that is."""
    if named := environ.get("WEBHOOK_DIR", "").strip():
        folder = Path(named)
    else:
        state = environ.get("TAPI_STATE_DIR", "").strip() or environ.get("STATE_DIRECTORY", "").partition(":")[0]
        folder = Path(state, "webhook") if state else Path()
    if not folder.is_absolute():
        raise ValueError("WEBHOOK_DIR must be set to an absolute path, such as /var/lib/tapi-agent/webhook")
    return folder


def _keep(environ: Mapping[str, str]) -> timedelta:
    days = environ.get("WEBHOOK_KEEP_DAYS", "").strip() or "7"
    if not _KEEP_DAYS.fullmatch(days):
        raise ValueError("WEBHOOK_KEEP_DAYS must be a number of days from 1 to 999")
    return timedelta(days=int(days))
