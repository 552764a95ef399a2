from __future__ import annotations

import pytest

from tapi_agent.domain.catalog import Catalog, Declaration
from tapi_agent.plugin import base_catalog


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """What is for sale without further plugins."""
    return Catalog().extended(
        Declaration(
            source="base-catalog",
            first_party=True,
            features=tuple(base_catalog.register_features()),
            packs=tuple(base_catalog.register_packs()),
        )
    )
