"""PostgreSQL's files: a cluster made whole or not at all, its access rules, its settings.

Called by ``postgres`` while no server runs on them. Nothing here connects: roles are made by the stand-alone backend.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from tapi_agent.adapters.engines import namespace
from tapi_agent.adapters.engines.places import rename_durably, write_private
from tapi_agent.adapters.engines.process import run
from tapi_agent.domain.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapi_agent.adapters.engines.account import Account
    from tapi_agent.adapters.engines.wheels import Wheel

log = structlog.get_logger(__name__)

_PATIENCE: Final = timedelta(minutes=5)
"""initdb flushes some 40 MB: a second on a disk, a minute on a tired SD card."""
_CREATE_TAPI: Final = "CREATE ROLE tapi LOGIN CREATEDB;\n\nCREATE DATABASE tapi OWNER tapi;\n\n"


async def create(data: Path, *, wheel: Wheel, account: Account) -> None:
    """Make the cluster ``data`` with role and database ``tapi``.

    Built under a temporary name and renamed, so kill -9 or a power cut half way leaves nothing that looks usable. Each
    attempt has a name of its own, because an initdb orphaned by kill -9 may still be writing under the last one.
    """
    await asyncio.to_thread(_sweep, data)
    building = Path(tempfile.mkdtemp(prefix=f"{data.name}.", dir=data.parent))
    os.chown(building, account.uid, account.gid)
    initdb = (
        *(wheel.program("initdb"), "--pgdata", str(building), "--username=postgres", "--encoding=UTF8", "--locale=C"),
        *("--data-checksums", "--auth=reject", "--no-clean", "--no-instructions"),
    )
    await _must(initdb, account=account)
    await _execute(_CREATE_TAPI, data=building, wheel=wheel, account=account)
    rename_durably(building, data)
    log.info("engine.cluster_created", data=str(data))


def _sweep(data: Path) -> None:
    for leftover in data.parent.glob(f"{data.name}.*"):
        shutil.rmtree(leftover, ignore_errors=True)


async def set_password(password_file: Path, *, data: Path, wheel: Wheel, account: Account) -> None:
    """Give role tapi a new password, then keep it where libpq finds it (``passfile``): a file that exists is true."""
    password = secrets.token_hex(32)
    await _execute(f"ALTER ROLE tapi PASSWORD '{password}';\n\n", data=data, wheel=wheel, account=account)
    write_private(password_file, f"*:*:*:tapi:{password}\n")


async def _execute(sql: str, *, data: Path, wheel: Wheel, account: Account) -> None:
    """Run SQL as superuser without any server; a statement that fails is not quoted in the output (passwords)."""
    backend = (wheel.program("postgres"), "--single", "-j", "-D", str(data))
    options = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic", "template1")
    await _must((*backend, *options), account=account, stdin=sql)


async def _must(argv: Sequence[str], *, account: Account, stdin: str = "") -> None:
    # Both initdb and the stand-alone backend insist on a passwd entry for their uid; a running server does not.
    borrowed = () if account.name is not None else (sys.executable, "-I", namespace.__file__)
    status, printed = await run((*borrowed, *argv), account=account, deadline=_PATIENCE, stdin=stdin)
    if status != 0:
        raise UnavailableError(
            f"{Path(argv[0]).name} failed with status {status}: {printed}", fix="read its message; it is tried again"
        )


def write_access_rules(home: Path, *, agent: str | None, account: Account) -> tuple[Path, Path]:
    """Write pg_hba.conf and pg_ident.conf, ours, readable by the engine: only role tapi, never trust, never a host.

    ``agent`` is the user name of the agent; without one the server cannot tell peers apart, so a password it is.
    """
    method = "peer map=agent" if agent is not None else "scram-sha-256"
    users = {"root", agent or "root"}  # root could become the agent anyway, and its psql is an operator's tool
    hba = f"local all tapi {method}\nlocal all all reject\nhost all all all reject\n"
    ident = "".join(f"agent {_quoted(user)} tapi\n" for user in sorted(users))
    paths = home / "pg_hba.conf", home / "pg_ident.conf"
    for path, text in zip(paths, (hba, ident), strict=True):
        path.write_text(text)
        path.chmod(0o640)
        os.chown(path, -1, account.gid)
    return paths


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def settings(home: Path) -> dict[str, str]:
    """Settings of a small box, given on the command line, so that neither ALTER SYSTEM nor a file can weaken them."""
    return {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(home / "run"),
        "unix_socket_permissions": "0700",
        "hba_file": str(home / "pg_hba.conf"),
        "ident_file": str(home / "pg_ident.conf"),
        "shared_buffers": "64MB",
        "max_connections": "40",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "on",
        "log_directory": str(home / "log"),
        "log_filename": "postgresql-%a.log",  # a week of files, each overwritten when its day comes again
        "log_truncate_on_rotation": "on",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
    }
