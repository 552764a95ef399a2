"""The billing service's words on single features: asked for in the background, kept until another comes (ADR 0071).

``service`` decides when to ask, ``inquiry`` asks, ``book`` holds the words.
"""

from __future__ import annotations

from tapi_agent.services.overrides.service import Overrides

__all__ = ["Overrides"]
