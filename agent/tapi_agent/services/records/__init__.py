"""What the agent writes down for people and reports: what it decided, and about the box itself.

The agent reads none of it. While PostgreSQL is down nothing is written and nothing waits: what is written afterwards is
how things stand then. The daemon runs ``run`` of each recorder.
"""

from __future__ import annotations

from tapi_agent.services.records.decisions import DecisionRecorder
from tapi_agent.services.records.device import DeviceRecorder

__all__ = ["DecisionRecorder", "DeviceRecorder"]
