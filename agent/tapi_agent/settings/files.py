"""Reads and parses settings files. A failure names the file and, if there is one, the line; it never shows content."""

from __future__ import annotations

import io
import os
import re
import stat
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dotenv.parser import parse_stream

from tapi_agent.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from dotenv.parser import Binding

_LARGEST: Final = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it was read: absent ones are empty."""

    path: Path
    text: str = ""
    mode: int = 0

    def risk(self, *, secrets: bool) -> str:
        """Who else can change it, or read the ``secrets`` in it; empty when all is well."""
        if self.mode & stat.S_IWOTH:
            return f"{self.path} can be changed by every user: chmod o-w {self.path}"
        if self.mode & stat.S_IROTH and secrets:
            return f"{self.path} holds secrets and can be read by every user: chmod o-r {self.path}"
        return ""


def read(path: Path, *, required: bool) -> File:
    """Its content; an absent one is empty unless ``required``."""
    try:
        with path.open("rb") as stream:
            mode, content = os.fstat(stream.fileno()).st_mode, stream.read(_LARGEST + 1)
    except (FileNotFoundError, IsADirectoryError):
        if not required:
            return File(path=path)
        raise _unusable(path, "there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise _unusable(path, getattr(error, "strerror", None) or "not a file name") from error
    if len(content) > _LARGEST:
        raise _unusable(path, "it is larger than 1 MiB")
    return File(path=path, text=_decoded(path, content), mode=mode)


def env_lines(file: File) -> dict[str, str]:
    """The assignments of an env file: ``NAME=value``, quotes and comments as usual, ``${...}`` taken literally."""
    return dict(
        _assignment(file, binding) for binding in parse_stream(io.StringIO(file.text)) if _says_something(binding)
    )


def toml_keys(file: File) -> dict[str, Any]:
    """The top-level keys of a TOML file."""
    try:
        return tomllib.loads(file.text)
    except (ValueError, RecursionError) as error:
        raise _unusable(file.path, f"it is not TOML: {error}") from None


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unusable(path, f"line {line} is not UTF-8 text") from None


def _says_something(binding: Binding) -> bool:
    return binding.error or binding.key is not None


def _assignment(file: File, binding: Binding) -> tuple[str, str]:
    if binding.key is None or binding.value is None:
        blank = re.match(r"\s*", binding.original.string)
        line = binding.original.line + (blank[0].count("\n") if blank else 0)
        raise _unusable(file.path, f"line {line} is not NAME=value")
    return binding.key, binding.value


def _unusable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"settings file {str(path)!r} cannot be used: {reason}",
        fix="correct the file, or the variable that names it: TAPI_CONFIG, TAPI_ENV_FILE or CREDENTIALS_DIRECTORY",
    )
