"""Exit codes, and the one way out for every error: one line and its remedy; a traceback only for bugs."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from typing import Final, NoReturn

from tapi_agent.cli.text import harmless
from tapi_agent.domain.errors import ConfigurationError, IntegrityError, RejectedError, TapiError, UnavailableError


class Exit(IntEnum):
    """What a shell script can test for (docs/cli.md)."""

    OK = 0
    DENIED = 1
    USAGE = 2
    GRACE = 3
    UNREACHABLE = 4
    PERMISSION = 5
    TIMEOUT = 6
    LICENSE_INVALID = 7
    INTERNAL = 70
    CONFIG = 78


_OF_REFUSALS: Final = {"forbidden": Exit.PERMISSION, "lease_refused": Exit.LICENSE_INVALID}


def code_of(error: TapiError) -> Exit:
    """The exit code of an error, by what the caller can do about it."""
    match error:
        case ConfigurationError():
            return Exit.CONFIG
        case RejectedError():
            return _OF_REFUSALS.get(error.code, Exit.USAGE)
        case UnavailableError():
            return Exit.UNREACHABLE
        case IntegrityError():
            return Exit.LICENSE_INVALID
        case _:
            return Exit.INTERNAL


def fail(error: TapiError) -> NoReturn:
    """Say what happened and what to do, on stderr, and exit."""
    remedy = f"\n  → {error.fix}" if error.fix else ""
    sys.stderr.write(harmless(f"tapi-agent: {error}{remedy}\n"))
    sys.exit(code_of(error))


def fail_as_bug() -> NoReturn:
    """Say that it is not the caller's fault, below the traceback, and exit."""
    traceback.print_exc()
    sys.stderr.write("tapi-agent: this is a bug\n  → report it with the lines above\n")
    sys.exit(Exit.INTERNAL)
