"""Every error the agent raises on purpose, named by what the caller can do about it.

::

    TapiError                  carries what happened and the fix
    ├── ConfigurationError     change a setting, then start again (exit 78)
    ├── UnavailableError       wait and retry: a dependency gave no answer
    │   ├── NoSpaceError       ... free space on the disk of the state directory
    │   └── SetBackError       ... a database lacks what it had before: compare first
    ├── RejectedError          do not retry: the request itself is wrong
    │   └── InvalidInputError  ... and here is the place in it
    ├── IntegrityError         stored or received data fails verification: keep it as evidence, go on without it
    │   └── LeaseRefusedError  ... a lease that is not genuine or not for this box (``domain.lease``)
    └── IllegalTransition      a bug: the lifecycle table forbids this edge

Expected negatives (a denial, a miss, a duplicate) are values, not errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


class TapiError(Exception):
    """Base of all deliberate errors: ``str(error)`` says what and why, ``error.fix`` what to do next."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class ConfigurationError(TapiError):
    """A setting is missing, wrong or contradicts another one; the process exits with 78."""


class UnavailableError(TapiError):
    """A dependency gave no answer. Nothing was decided; try again, not before ``retry_after`` when it is given."""

    def __init__(self, message: str, *, fix: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(message, fix=fix)
        self.retry_after = retry_after


class NoSpaceError(UnavailableError):
    """The disk of the state directory has no room for new events; those that were acknowledged are safe."""

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        fix = "free space on the disk of the state directory; recording goes on by itself within seconds"
        super().__init__(message, fix=fix, retry_after=retry_after)


class SetBackError(UnavailableError):
    """The database lacks what it had taken over before: it was wiped, or restored to an older day."""


class RejectedError(TapiError):
    """The request cannot be accepted as it is; sending it again unchanged gives the same answer."""

    def __init__(self, message: str, *, code: str, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.code = code


class InvalidInputError(RejectedError):
    """One place of the input is wrong; ``pointer`` is its JSON pointer, such as ``#/quantity``."""

    def __init__(self, message: str, *, code: str, pointer: str = "#", fix: str = "") -> None:
        super().__init__(message, code=code, fix=fix)
        self.pointer = pointer


class IntegrityError(TapiError):
    """Data fails verification (digest, signature, checksum, sequence): a miss, never a verdict."""


class IllegalTransition(TapiError):  # noqa: N818 - the design's term for an edge that the lifecycle table forbids
    """The lifecycle table has no such edge: a bug in the agent, not a state of the world."""
