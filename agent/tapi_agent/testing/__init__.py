"""Fakes, engines and processes for tests: ours, and those of plugin authors. Shipped, and held to the real things.

What a plugin's tests need can be imported from here; each name loads its module when it is first used. The fixtures are
in ``tapi_agent.testing.pytest_plugin``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tapi_agent.testing.agent import AgentProcess
    from tapi_agent.testing.billing import FakeBilling
    from tapi_agent.testing.clock import FakeClock
    from tapi_agent.testing.engines import RunningEngines, running_engines
    from tapi_agent.testing.tapi import Tapi, running_tapi
    from tapi_agent.testing.thread import AgentThread
    from tapi_agent.testing.wait import wait_until

__all__ = [
    "AgentProcess",
    "AgentThread",
    "FakeBilling",
    "FakeClock",
    "RunningEngines",
    "Tapi",
    "running_engines",
    "running_tapi",
    "wait_until",
]

_HOMES: Final = {
    "AgentProcess": "agent",
    "AgentThread": "thread",
    "FakeBilling": "billing",
    "FakeClock": "clock",
    "RunningEngines": "engines",
    "Tapi": "tapi",
    "running_engines": "engines",
    "running_tapi": "tapi",
    "wait_until": "wait",
}


def __getattr__(name: str) -> object:
    """The thing of that name, from the module that it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
