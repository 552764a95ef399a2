"""What ``tapi-agent plugins check`` looks at: a plugin as its author has written it, before anybody installs it.

``inspect`` runs the rest of this package in a child process, since the plugin's own code is run to find out.
"""

from __future__ import annotations

from tapi_agent.plugin.inspection.child import inspect
from tapi_agent.plugin.inspection.finding import Finding, Level

__all__ = ["Finding", "Level", "inspect"]
