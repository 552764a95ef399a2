"""Settings: environment over .env over the systemd credential over agent.toml over defaults, checked and explained.

``load`` is the only door. Everything below bootstrap gets plain values, never ``Settings``.
"""

from __future__ import annotations

from tapi_agent.settings.loading import load
from tapi_agent.settings.model import Settings
from tapi_agent.settings.rendering import Row, describe, render_agent_toml, render_env_template, render_reference

__all__ = ["Row", "Settings", "describe", "load", "render_agent_toml", "render_env_template", "render_reference"]
