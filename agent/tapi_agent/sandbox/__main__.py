"""``python -m tapi_agent.sandbox``, as ``process`` starts it. Secrets come by the environment, not seen by ``ps``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from tapi_agent.domain.errors import ConfigurationError
from tapi_agent.sandbox.handshake import ADMIN_TOKEN, API_KEY
from tapi_agent.sandbox.server import FirstTenant, run

_EX_CONFIG: Final = 78


def main() -> None:
    """Serve until told to stop; exit 78 with one line when that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m tapi_agent.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file of the ledger")
    parser.add_argument("--tenant", help="created when absent")
    parser.add_argument("--signed", action="store_true", help="answer this tenant with signed leases")
    options = parser.parse_args()
    api_key, admin_token = os.environ.get(API_KEY, ""), os.environ.get(ADMIN_TOKEN, "")
    first = options.tenant and FirstTenant(tenant_id=options.tenant, api_key=api_key, signed=options.signed)
    try:
        run(host=options.host, port=options.port, state=options.state, admin_token=admin_token, tenant=first)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}; {error.fix}\n")
        sys.exit(_EX_CONFIG)


if __name__ == "__main__":
    main()
