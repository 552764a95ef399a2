"""What the sandbox's process and its parent agree on: how secrets are handed over, and how it says that it is ready."""

from __future__ import annotations

from typing import Final

API_KEY: Final = "TAPI_SANDBOX_API_KEY"
ADMIN_TOKEN: Final = "TAPI_SANDBOX_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variables: an argument would be seen by ``ps``."""
READY: Final = "sandbox billing service on "
"""Its last line on stdout, followed by the URL."""
