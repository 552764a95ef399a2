"""The kinds of value a variable can hold: how its text is read, and in words what is allowed.

Every source gives text, so one syntax holds everywhere. ``Allowed`` and ``DefaultNote`` are what error messages,
templates and documentation say about a kind; they constrain nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, ByteSize, HttpUrl, SecretStr, TypeAdapter

from tapi_agent.domain.features import Tier
from tapi_agent.domain.license import LicenseMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_LONGEST_TEXT: Final = 255
_LONGEST_SHOWN: Final = 60
_LONGEST_SOCKET_PATH: Final = 100  # of 108 bytes: the socket is first bound under a longer, temporary name
_MOST_KEYS: Final = 2
_KEY_DIGITS: Final = 64
MASK: Final = "********"
_CLEAN: Final = r"[^\0\ud800-\udfff]"  # a character that can be sent anywhere
_API_ROOT: Final = "/api/v1"
_BINARY: Final = ("", "KiB", "MiB", "GiB", "TiB")
_DECIMAL: Final = ("B", "KB", "MB", "GB", "TB")
_UNITS: Final = {unit.lower(): 1024**power for power, unit in enumerate(_BINARY)} | {
    unit.lower(): 1000**power for power, unit in enumerate(_DECIMAL)
}
_AMOUNT: Final = re.compile(r"(\d{1,15})(\.\d{1,9})?\s*([a-z]*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Allowed:
    """In words, what a value may be; completes the sentence "allowed: ..."."""

    words: str


@dataclass(frozen=True, slots=True)
class DefaultNote:
    """In words, a default that depends on the machine or on other settings."""

    words: str


def _require(condition: Callable[[T], object]) -> AfterValidator:
    """A check without words of its own: ``Allowed`` says what is wanted."""

    def check(value: T) -> T:
        if not condition(value):
            raise ValueError
        return value

    return AfterValidator(check)


def _matches(pattern: str) -> AfterValidator:
    """The same for a secret."""

    def matches(secret: SecretStr) -> bool:
        return re.fullmatch(pattern, secret.get_secret_value()) is not None

    return _require(matches)


def _items(text: str | Iterable[str]) -> tuple[str, ...]:
    parts = text.split(",") if isinstance(text, str) else text
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _pairs(text: str) -> dict[str, str]:
    split = [item.partition(":") for item in _items(text)]
    pairs = {key.strip(): value.strip() for key, _, value in split}
    if len(pairs) != len(split):
        raise ValueError
    return pairs


def is_plain(text: str) -> bool:
    """Whether ``text`` is a short, printable, non-empty word or phrase: fit for a log line, a header, a file name."""
    return 0 < len(text) <= _LONGEST_TEXT and text.isprintable()


def byte_count(amount: str | int) -> ByteSize:
    """Bytes of ``20GiB``, ``64 MB``, ``1.5gib`` or ``1048576``; ``ValueError`` for anything else."""
    match = _AMOUNT.fullmatch(str(amount))
    if match is None or match[3].lower() not in _UNITS:
        raise ValueError
    return ByteSize(Decimal(match[1] + (match[2] or "")) * _UNITS[match[3].lower()])


def shown(text: str) -> str:
    """``text`` in quotes, escaped, and cut to what fits a message."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def as_text(value: object) -> str:
    """The text that reads as ``value``; secrets are masked, ``None`` is empty."""
    match value:
        case None:
            text = ""
        case SecretStr():
            text = MASK
        case bool():
            text = str(value).lower()
        case ByteSize() if value > 0:
            power = max(power for power in range(len(_BINARY)) if value % 1024**power == 0)
            text = f"{value // 1024**power}{_BINARY[power]}"
        case float() if value.is_integer():
            text = str(int(value))
        case tuple():
            text = ",".join(value)
        case dict():
            text = ",".join(f"{key}:{item}" for key, item in value.items())
        case _:
            text = str(value)
    return text


def _service_url(text: str) -> str:
    url = _HTTP_URL.validate_python(text)
    if url.username or url.password or url.query is not None or url.fragment is not None:
        raise ValueError
    base = str(url).rstrip("/")
    if (url.path or "/").rstrip("/") == "":
        return base + _API_ROOT
    if not base.endswith(_API_ROOT):
        raise ValueError
    return base


def _trusted_keys(text: str | dict[str, str]) -> dict[str, str]:
    keys = _pairs(text) if isinstance(text, str) else text
    if not all(re.fullmatch(r"[\w.-]{1,64}", kid, re.ASCII) for kid in keys):
        raise ValueError
    return {kid: bytes.fromhex(key).hex() for kid, key in keys.items()}


DEFAULT_TIERS: Final = {
    LicenseMode.TRIAL: Tier.PROFESSIONAL,
    LicenseMode.BASE: Tier.PROFESSIONAL,
    LicenseMode.ENTERPRISE: Tier.PROFESSIONAL,
    LicenseMode.UNLICENSED: Tier.BASIC,
    LicenseMode.EXPIRED: Tier.BASIC,
}


def _mode_tiers(text: str | dict[LicenseMode, Tier]) -> dict[LicenseMode, Tier]:
    if not isinstance(text, str):
        return text
    given = {LicenseMode(mode.lower()): Tier(tier.lower()) for mode, tier in _pairs(text).items()}
    return DEFAULT_TIERS | given


_HTTP_URL: Final = TypeAdapter(HttpUrl)

ANY_CASE: Final = BeforeValidator(str.lower)

Name = Annotated[str, _require(is_plain), Allowed(f"printable text of at most {_LONGEST_TEXT} characters")]
OptionalName = Name | None
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_items),
    _require(lambda names: all(map(is_plain, names))),
    Allowed("names separated by commas"),
]
ServiceUrl = Annotated[
    str,
    AfterValidator(_service_url),
    Allowed("http(s)://HOST[:PORT][/PREFIX]/api/v1 without user, password and query; a bare host gets /api/v1"),
]
FilePath = Annotated[
    Path,
    _require(lambda path: path.is_absolute() and str(path).isprintable()),
    Allowed("a path; a relative one counts from the current directory, ~ is not expanded"),
]
SocketPath = Annotated[
    FilePath,
    _require(lambda path: len(bytes(path)) <= _LONGEST_SOCKET_PATH),
    Allowed(f"a path of at most {_LONGEST_SOCKET_PATH} bytes (a Unix socket allows no more), ~ is not expanded"),
]
Bytes = Annotated[ByteSize, BeforeValidator(byte_count), Allowed("a size (1048576, 64MiB, 20GiB)")]
Password = Annotated[SecretStr, _matches(f"{_CLEAN}+"), Allowed("any text without NUL")]
ApiKey = Annotated[
    SecretStr,
    _matches(r"[!-~]{1,4096}"),
    Allowed("letters, digits and ASCII punctuation without spaces"),
]
PostgresDsn = Annotated[
    SecretStr,
    _matches(rf"(postgres(ql)?://|\w+\s*=){_CLEAN}*"),
    Allowed("postgresql://USER:PASSWORD@HOST/DATABASE, or libpq's key=value form"),
]
RedisUrl = Annotated[
    SecretStr,
    _matches(rf"(rediss?(\+(sentinel|cluster))?|unix)://{_CLEAN}+"),
    Allowed(
        "redis://HOST:6379/0, unix:///SOCKET, redis+sentinel://HOST:26379,HOST/SERVICE/0 "
        "or redis+cluster://HOST:6379,HOST; rediss for TLS; :PASSWORD@ before the first host"
    ),
]
TrustedKeys = Annotated[
    dict[str, str],
    BeforeValidator(_trusted_keys),
    _require(lambda keys: len(keys) <= _MOST_KEYS and all(len(key) == _KEY_DIGITS for key in keys.values())),
    Allowed("at most two KID:HEX, separated by a comma; HEX is an Ed25519 public key of 64 hexadecimal digits"),
]
ModeTiers = Annotated[
    dict[LicenseMode, Tier],
    BeforeValidator(_mode_tiers),
    Allowed(f"MODE:TIER, separated by commas; modes: {', '.join(LicenseMode)}; tiers: {', '.join(Tier)}"),
]
