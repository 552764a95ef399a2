"""tapi-agent sandbox: the reference billing service, for trying things out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 chooses one.")] = 8081,
    state: Annotated[Path, typer.Option(help="SQLite file of the ledger.")] = Path("sandbox.db"),
    api_key: Annotated[str, typer.Option(help="Key the agents send.")] = "sandbox-key",
    admin_token: Annotated[str, typer.Option(help="Token of the /admin endpoints.")] = "sandbox-admin",  # noqa: S107 - a sandbox
    tenant: Annotated[str, typer.Option(help="Tenant created on first start.")] = "demo",
    signed: Annotated[bool, typer.Option("--signed", help="Answer this tenant with signed leases.")] = False,
) -> None:
    """Run the reference billing service, with a durable ledger and faults on demand."""
    from tapi_agent.sandbox.server import FirstTenant, run  # noqa: PLC0415 - tapi-agent --help must not load it

    first = FirstTenant(tenant_id=tenant, api_key=api_key, signed=signed)
    run(port=port, state=state, admin_token=admin_token, tenant=first)
