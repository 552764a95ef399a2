"""The move from the old SQLite files: file by file into the database, the unfit into quarantine, both sides compared.

Surface: ``Importing``, and ``DryRun``, a store that keeps nothing.
"""

from __future__ import annotations

from tapi_agent.services.importing.dry_run import DryRun
from tapi_agent.services.importing.importing import Importing

__all__ = ["DryRun", "Importing"]
