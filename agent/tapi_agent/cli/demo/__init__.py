"""tapi-agent demo: the whole story on one machine in about half a minute. This module is only the command."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and databases afterwards.")] = False,
) -> None:
    """Play the story: five cameras, a billing service that dies and returns, and a ledger that proves every event."""
    from tapi_agent.cli.demo.acts import play  # noqa: PLC0415 - asking commands must not pay for loading the stage

    folder = Path(tempfile.mkdtemp(prefix="tapi-demo-", dir="/tmp"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user, who must pass
    sys.exit(play(folder, keep=keep))
