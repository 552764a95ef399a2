"""The service's own Ed25519 keys: the newest one signs. Owns the table signing_keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_TRUSTED: Final = 2
"""An agent trusts so many at a time: one that signs and one that is on its way out or in."""
_NAMED_BY: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key that may sign: its id and the 32 bytes of its private half, which nobody has looked at yet."""

    kid: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """A key that nobody trusts yet."""
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw().hex()
        return cls(kid=f"sandbox-{public[:_NAMED_BY]}", secret=private.private_bytes_raw())

    @property
    def private(self) -> Ed25519PrivateKey:
        """What signs. ``ValueError`` when the ledger's bytes are none."""
        return Ed25519PrivateKey.from_private_bytes(self.secret)

    @property
    def public_key(self) -> str:
        """64 hexadecimal digits."""
        return self.private.public_key().public_bytes_raw().hex()


def ensure(db: sqlite3.Connection) -> None:
    """Make the first key of a ledger that has none."""
    if not published(db):
        rotate(db)


def rotate(db: sqlite3.Connection) -> None:
    """Make another key. It signs from now on; the former ones are published as before."""
    key = SigningKey.generate()
    db.execute("INSERT INTO signing_keys (kid, secret) VALUES (?, ?)", (key.kid, key.secret))


def current(db: sqlite3.Connection) -> SigningKey:
    """The key that signs."""
    return _newest(db, 1)[0]


def published(db: sqlite3.Connection) -> list[SigningKey]:
    """Every key, the newest first."""
    return _newest(db, -1)


def trusted_keys(keys: Sequence[SigningKey]) -> str:
    """The two newest of ``published`` in the form of the agent's TRUSTED_KEYS."""
    return ",".join(f"{key.kid}:{key.public_key}" for key in keys[:_TRUSTED])


def _newest(db: sqlite3.Connection, count: int) -> list[SigningKey]:
    rows = db.execute("SELECT kid, secret FROM signing_keys ORDER BY number DESC LIMIT ?", (count,))
    return [SigningKey(kid=row["kid"], secret=row["secret"]) for row in rows]
