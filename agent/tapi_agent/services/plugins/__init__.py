"""What plugins do with usage: they say what was used, hear what was recorded and delivered, take it elsewhere.

``Collecting``, ``Telling`` and ``Exporting`` each stand alone; ``Overview`` shows how plugins fare with them.
"""

from __future__ import annotations

from tapi_agent.services.plugins.collecting import Collecting
from tapi_agent.services.plugins.exporting import Exporting
from tapi_agent.services.plugins.overview import Overview
from tapi_agent.services.plugins.telling import Telling

__all__ = ["Collecting", "Exporting", "Overview", "Telling"]
