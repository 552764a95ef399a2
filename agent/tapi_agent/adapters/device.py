"""Who this device is: the configured id, or one derived from the machine. Called once, by bootstrap."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from tapi_agent.domain.ids import DeviceId

if TYPE_CHECKING:
    from collections.abc import Callable

AUTO: Final = "auto"
_MACHINE_ID: Final = Path("/etc/machine-id")
_FORM: Final = re.compile(r"[0-9a-f]{32}")
_APPLICATION: Final = b"tapi-agent device id"


def device_id(
    configured: str, *, kept: Path, keep: Callable[[Path, Callable[[], bytes]], bytes], machine_id: Path = _MACHINE_ID
) -> DeviceId:
    """The device's id: ``configured`` as it is, or for "auto" a UUID derived from /etc/machine-id.

    A machine without one gets a random UUID, kept in the file ``kept`` (by ``adapters.files.keep_first``); from then
    on that file decides, so a machine-id which appears later does not make another device of it.
    """
    if configured != AUTO:
        return DeviceId(configured)
    derived = None if kept.exists() else _derived(machine_id)
    return derived or DeviceId(keep(kept, lambda: str(uuid4()).encode()).decode())


def _derived(machine_id: Path) -> DeviceId | None:
    """An id of this application only: the machine-id itself is confidential (machine-id(5))."""
    try:
        identity = machine_id.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    if not _FORM.fullmatch(identity) or not int(identity, 16):
        return None
    digest = hmac.new(bytes.fromhex(identity), _APPLICATION, hashlib.sha256).digest()
    return DeviceId(str(UUID(bytes=digest[:16], version=4)))
