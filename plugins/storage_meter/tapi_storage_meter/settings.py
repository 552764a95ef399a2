"""Which folders are measured: STORAGE_METER_PATHS, read from the environment when the plugin is loaded."""

from __future__ import annotations

from itertools import permutations
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTING: Final = "STORAGE_METER_PATHS"
_LONGEST: Final = 256
"""A usage event's ``resource_id`` may be no longer."""


def folders(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The folders, as configured. Raises ``ValueError`` for one that cannot be metered, or would be metered twice."""
    paths = tuple(dict.fromkeys(part.strip() for part in environ.get(SETTING, "").split(":") if part.strip()))
    for path in paths:
        _check(path)
    for outer, inner in permutations(paths, 2):
        if PurePosixPath(inner).is_relative_to(outer):
            raise ValueError(f"{SETTING}: {inner} lies in {outer} and would be billed twice: name one of them")
    return paths


def _check(path: str) -> None:
    if not path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{SETTING}: {path!r} must be an absolute path without '..'")
    if not path.isprintable() or len(path) > _LONGEST:
        raise ValueError(f"{SETTING}: {path[:_LONGEST]!r} must be printable, of at most {_LONGEST} characters")
