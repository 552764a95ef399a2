"""How often: a few times in the suite, as often as the issue asks by `make torture`. And against what service."""

from __future__ import annotations

from typing import Any, Final

import pytest

CLASSIC: Final[dict[str, object]] = {"action": "classic_only", "path": "*"}
"""Of the sandbox's fault plan: be the service of today, to which nothing may be sent twice."""


def repeated(few: object, many: object) -> list[Any]:
    """Parameters of a test for both runs."""
    return [
        pytest.param(few, id="some"),
        pytest.param(many, id="many", marks=[pytest.mark.torture, pytest.mark.timeout(3600)]),
    ]
