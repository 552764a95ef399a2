"""Files that others have made: beside the checkout where they are at hand, else what needs them is skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

FIXTURES: Final = Path(__file__).parents[4] / "shared" / "fixtures"


def by_others(*place: str) -> str:
    """The text of a fixture; skips where there is none."""
    path = FIXTURES.joinpath(*place)
    if not path.is_file():
        pytest.skip(f"{path.name} is not at hand")
    return path.read_text(encoding="utf-8")
