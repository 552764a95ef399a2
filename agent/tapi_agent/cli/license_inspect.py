"""tapi-agent license inspect: is a lease file genuine, what does it say, and which states does it lead to.

Needs no running agent, changes nothing, and judges no machine: that is the import's. ``cli.license`` registers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from tapi_agent.adapters.device import device_id
from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.cli.lease_view import lease_document, show_lease
from tapi_agent.cli.output import show_json
from tapi_agent.domain.lease import Lease, LeaseRefusedError
from tapi_agent.settings import Settings, load

_MOST_BYTES: Final = 16 * 1024 * 1024
_KEY: Final = re.compile(r"(?:[\w.-]{1,64}:)?([0-9A-Fa-f]{64})", re.ASCII)


def _keys(given: list[str]) -> list[str]:
    if all(map(_KEY.fullmatch, given)):
        return given
    raise typer.BadParameter("HEX or KID:HEX; HEX is an Ed25519 public key of 64 hexadecimal digits")


def inspect(
    file: Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", help="Lease file; - reads standard input.")],
    license_key: Annotated[
        str | None, typer.Option("--license-key", help="Opens encrypted leases; default: LICENSE_KEY.")
    ] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="Device id it was made for; default: this device's.")
    ] = None,
    public_key: Annotated[
        list[str],
        typer.Option("--public-key", metavar="[KID:]HEX", callback=_keys, help="Trusted key; default: TRUSTED_KEYS."),
    ] = [],  # noqa: B006 - typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify and decrypt a lease file: exit 0 genuine, 7 not."""
    settings = load()
    key = settings.license_key
    reader = LeaseFiles(
        keys=_named(public_key) or settings.trusted_keys,
        license_key=license_key or (key.get_secret_value() if key else None),
        fingerprint=fingerprint or _own_id(settings),
    )
    text = file.read(_MOST_BYTES).decode("latin-1")  # whatever the bytes are: only ASCII can be genuine
    documents = [lease_document(lease, settings.lease_max_offline) for lease in _read(reader, text)]
    if as_json:
        show_json({"schema": 1, "leases": documents})
        return
    for document in documents:
        show_lease(document)


def _named(given: Sequence[str]) -> dict[str, str]:
    """Keys by id; one that was given without an id goes by its digits."""
    return {kid or key.lower(): key.lower() for kid, _, key in (one.rpartition(":") for one in given)}


def _own_id(settings: Settings) -> str:
    """This device's id as the agent would have it, empty where only the agent can read it; nothing is written."""
    try:
        return device_id(
            settings.edge_device_id,
            kept=settings.tapi_state_dir / "device.id",
            keep=lambda path, _: Path.read_bytes(path),
        )
    except OSError:
        return ""


def _read(reader: LeaseFiles, text: str) -> Iterator[Lease]:
    parts = reader.split(text)
    for number, part in enumerate(parts, 1):
        try:
            yield reader.read(part)
        except LeaseRefusedError as error:
            place = f"lease {number} of {len(parts)}: " if len(parts) > 1 else ""
            raise LeaseRefusedError(f"{place}{error}", reason=error.reason, fix=error.fix) from error
