"""May this camera use this feature? Answered from a table, compiled as it is asked for (ADR 0021).

``service`` looks after the table and its deadlines, ``table`` is the table, ``standings`` who holds what.
"""

from __future__ import annotations

from tapi_agent.services.entitlements.service import Entitlements

__all__ = ["Entitlements"]
