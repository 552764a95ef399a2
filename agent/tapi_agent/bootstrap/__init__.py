"""The composition root: the only package that knows every class. Turns settings into an agent for the daemon to run.

Nothing here decides anything; it only says who is given what: ``core`` and ``stores`` first, ``agent`` puts services,
jobs and doors on top of them.
"""

from __future__ import annotations

from tapi_agent.bootstrap.agent import Agent, assemble
from tapi_agent.bootstrap.stores import with_migrator

__all__ = ["Agent", "assemble", "with_migrator"]
