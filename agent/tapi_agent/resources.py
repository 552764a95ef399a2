"""Finds the folders that ship with the agent (``migrations``, ``config``), however it was installed. Reads no file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).parent
CHECKOUT: Final = PACKAGE.parent.parent


def directory(name: str, *, package: Path = PACKAGE, checkout: Path = CHECKOUT) -> Path:
    """The folder ``name``: inside the package when installed from a wheel, beside ``agent/`` in a checkout.

    Raises ``FileNotFoundError`` when the installation is incomplete.
    """
    candidates = [package / name]
    if (checkout / "pyproject.toml").is_file():
        candidates.append(checkout / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    places = " or ".join(map(str, candidates))
    raise FileNotFoundError(f"tapi-agent is installed incompletely: no {places}; install the package again")
