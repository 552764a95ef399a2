"""``python -m tapi_agent.sandbox``, as ``process`` starts it. Secrets come by the environment, not seen by ``ps``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.sandbox.handshake import ADMIN_TOKEN, API_KEY
from tapi_agent.sandbox.server import run

_EX_CONFIG: Final = 78


def main() -> None:
    """Serve until told to stop; exit 78 with one line when that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m tapi_agent.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file of the ledger")
    parser.add_argument("--tenant", help="created when absent")
    options = parser.parse_args()
    try:
        run(**vars(options), api_key=os.environ.get(API_KEY, ""), admin_token=os.environ.get(ADMIN_TOKEN, ""))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}; {error.fix}\n")
        sys.exit(_EX_CONFIG)


if __name__ == "__main__":
    main()
