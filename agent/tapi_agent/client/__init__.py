"""What applications import to ask the agent: needs the standard library and domain values, never the daemon."""

from __future__ import annotations

from tapi_agent.client.client import AgentClient

__all__ = ["AgentClient"]
