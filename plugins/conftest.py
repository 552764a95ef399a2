"""Fixtures for the tests of every first-party plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tapi_agent.testing.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    """What the plugin in whose folder the test stands has for sale, found by its entry point."""
    folder = request.path.parents[1]
    shop = Shop(folder.name.replace("_", "-"))
    yield shop
    shop.close()
