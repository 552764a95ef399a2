"""One remark on a plugin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The agent would not load it, or would disable it, or a rule of docs/hooks.md is broken."""
    WARNING = "warning"
    """It would run, and hardly do what its author wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, where (a file, a hook, a key), and what to do."""

    level: Level
    where: str
    problem: str
    fix: str


def error(where: str, problem: str, fix: str) -> Finding:
    """Something that must be repaired."""
    return Finding(level=Level.ERROR, where=where, problem=problem, fix=fix)


def warning(where: str, problem: str, fix: str) -> Finding:
    """Something that should be thought about."""
    return Finding(level=Level.WARNING, where=where, problem=problem, fix=fix)
