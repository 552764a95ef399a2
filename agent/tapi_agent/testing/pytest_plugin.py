"""The fixtures of a plugin's own tests: ``pytest_plugins = ["tapi_agent.testing.pytest_plugin"]`` in its conftest.py.

Not an entry point of pytest's: whoever has tapi-agent installed and tests something else must not load it. Imports
nothing of the agent until a fixture is asked for, so that a plugin's coverage is measured from its first line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tapi_agent.testing.tapi import Tapi


@pytest.fixture
def tapi_settings() -> dict[str, str]:
    """Further settings of the agent, by variable. Override this fixture to give some."""
    return {}


@pytest.fixture
def tapi(tapi_settings: dict[str, str]) -> Iterator[Tapi]:
    """A real agent without PostgreSQL and Valkey: decides, and records usage durably."""
    from tapi_agent.testing.tapi import running_tapi  # noqa: PLC0415 - loads the whole agent

    with running_tapi(tapi_settings) as running:
        yield running


@pytest.fixture
def tapi_full(tapi_settings: dict[str, str]) -> Iterator[Tapi]:
    """The same with engines of its own, which delivers usage; needs ``pip install tapi-agent[embedded]``."""
    from tapi_agent.testing.tapi import running_tapi  # noqa: PLC0415 - loads the whole agent

    with running_tapi(tapi_settings, engines=True) as running:
        yield running
