"""tapi-agent version."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version


def version() -> None:
    """Print the version."""
    sys.stdout.write(f"tapi-agent {installed_version('tapi-agent')}\n")
