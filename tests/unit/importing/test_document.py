"""docs/import-sqlite.md explains every reason there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from tapi_agent.domain.importing.flaws import QuarantineCode

PAGE = Path(__file__).parents[3] / "docs" / "import-sqlite.md"


def test_every_reason_is_explained() -> None:
    assert re.findall(r"^\| `([A-Z_0-9]+)` \|", PAGE.read_text(), re.MULTILINE) == list(QuarantineCode)
