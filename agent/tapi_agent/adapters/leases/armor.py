"""The armor of a lease file: BEGIN, lines of base64, END; and a text with several of them taken apart.

Strict: one spelling only (ADR 0060). Knows nothing of what is inside. Called by the reader, and by the import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tapi_agent.adapters.leases.canonical import from_base64
from tapi_agent.domain.lease import LeaseKind, LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CHARACTERS: Final = 64 * 1024
_LINE: Final = 60
_KINDS: Final = {f"-----BEGIN {kind.upper()} FILE-----": kind for kind in LeaseKind}
_ENDS: Final = {f"-----END {kind.upper()} FILE-----": kind for kind in LeaseKind}
_AGAIN: Final = "ask for the file again, and carry it over as it is, without editing or converting it"


class Armored(NamedTuple):
    """What an armor says by itself, and the bytes within."""

    kind: LeaseKind
    document: bytes


def unwrap(text: str) -> Armored:
    """The inside of one lease file; only newlines may follow its end. Raises ``LeaseRefusedError``."""
    try:
        return _unwrap(text)
    except ValueError as error:
        raise damaged(str(error)) from error


def split(text: str) -> Sequence[str]:
    """The lease files in a text that holds one or more, with blank lines between; ``LeaseRefusedError`` otherwise.

    Every armor is looked at, nothing inside is: one bad part is named, and the good ones are not taken without it.
    """
    parts = _parts(text)
    if not parts:
        raise damaged("there is no lease in it")
    for number, part in enumerate(parts, 1):
        try:
            _unwrap(part)
        except ValueError as error:
            raise damaged(f"lease {number} of {len(parts)}: {error}") from error
    return parts


def damaged(what: str) -> LeaseRefusedError:
    """The refusal of a file that was cut or changed on its way."""
    return LeaseRefusedError(f"the lease file is damaged: {what}", reason=Reason.EVIDENCE_INVALID, fix=_AGAIN)


def _unwrap(text: str) -> Armored:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS} characters")
    if "\r" in text:
        raise ValueError("its lines end in CR LF, as on Windows, instead of LF")
    lines = text.rstrip("\n").split("\n")
    kind = _KINDS.get(lines[0])
    if kind is None or _ENDS.get(lines[-1]) is not kind:
        raise ValueError("it does not begin and end as a lease file does")
    _check_lengths(lines[1:-1])
    return Armored(kind, from_base64("".join(lines[1:-1])))


def _check_lengths(lines: Sequence[str]) -> None:
    *full, rest = lines or [""]
    if any(len(line) != _LINE for line in full) or not 0 < len(rest) <= _LINE:
        raise ValueError(f"its lines are not of {_LINE} characters")


def _parts(text: str) -> Sequence[str]:
    """Runs of lines, cut after each END and at blank lines."""
    runs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if line:
            runs[-1].append(line)
        if not line or line in _ENDS:
            runs.append([])
    return ["\n".join([*run, ""]) for run in runs if run]
