"""What this machine is told by: hashed marks of its parts. Implements ``ports.leases.MachineIdentity``.

Owns which parts count and how they are read without privileges; what cannot be read is not recorded. The rule that
compares them is ``domain.binding``. A mark is the HMAC of the part's number under a key of this application, so it says
nothing of a part to anybody who does not hold the part, and cannot be found again in what other programs report.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tapi_agent.domain.binding import MACHINE_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_APPLICATION: Final = b"tapi-agent machine binding"
_KEPT_FOR: Final = 60.0
"""Seconds: asked at each lease, and a box has up to a thousand."""
_FILES: Final = {
    "board_serial": ("sys/firmware/devicetree/base/serial-number",),
    "dmi_uuid": ("sys/class/dmi/id/product_uuid",),
    "dmi_serial": ("sys/class/dmi/id/product_serial", "sys/class/dmi/id/board_serial"),
    MACHINE_ID: ("etc/machine-id",),
}
_DISK_FILES: Final = ("device/cid", "device/serial", "serial", "device/wwid", "wwid")
"""Of a card the whole identity, of an NVMe and a virtio disk the serial, else the world wide name."""
_GLOBAL_AND_ONE: Final = 0b11
"""Bits of the first octet of a MAC: for a group, made up locally."""
_LONGEST: Final = 256
_SHORTEST: Final = 4
_FILLERS: Final = frozenset({
    "default string",
    "none",
    "null",
    "n/a",
    "not applicable",
    "not available",
    "not present",
    "not specified",
    "oem",
    "o.e.m.",
    "serial number",
    "system serial number",
    "base board serial number",
    "to be filled by o.e.m.",
    "tobefilledbyo.e.m.",
    "uninitialized",
    "unknown",
    "0123456789",
    "123456789",
    "1234567890",
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
})  # fmt: skip
"""What vendors ship in place of a number, on every board alike."""


class Hardware:
    """The parts of this machine that an unprivileged service can read; ``root`` is where its file tree begins."""

    def __init__(self, root: Path = Path("/"), *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._monotonic = monotonic
        self._found: Mapping[str, str] = {}
        self._fresh_until = -1.0

    def components(self) -> Mapping[str, str]:
        """Hashed marks, 64 hexadecimal digits each, by name; read once a minute at most.

        A network interface is named after its mark, ``mac_`` and eight digits: interfaces come in any order.
        """
        if self._monotonic() >= self._fresh_until:
            self._found = dict(_marks(self._root))
            self._fresh_until = self._monotonic() + _KEPT_FOR
        return self._found


def _marks(root: Path) -> Iterator[tuple[str, str]]:
    for name, files in _FILES.items():
        value = _first(root / file for file in files)
        if value:
            yield name, _hashed(name, value)
    disk = _first(_root_disk(root) / file for file in _DISK_FILES)
    if disk:
        yield "disk", _hashed("disk", disk)
    for mark in sorted({_hashed("mac", address) for address in _addresses(root / "sys/class/net")}):
        yield f"mac_{mark[:8]}", mark


def _hashed(name: str, value: str) -> str:
    return hmac.new(_APPLICATION, f"{name}\n{value}".encode(), hashlib.sha256).hexdigest()


def _first(files: Iterator[Path]) -> str:
    """The first of these that holds a number, in lower case; empty when none does."""
    return next((value for value in map(_text, files) if _tells(value)), "")


def _text(file: Path) -> str:
    """What a file says, as vendors would not tell apart; empty when it cannot be read."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_LONGEST)
    except OSError:
        return ""
    return " ".join(content.decode(errors="replace").replace("\0", " ").split()).lower()


def _tells(value: str) -> bool:
    """Whether it is a number of its own: no filler, and not one character again and again."""
    digits = re.sub(r"[^0-9a-z]", "", value)
    return len(digits) >= _SHORTEST and len(set(digits)) > 1 and value not in _FILLERS


def _addresses(interfaces: Path) -> Iterator[str]:
    """The MACs of interfaces that belong to the machine: no virtual ones, none made up locally, nothing plugged in."""
    for interface in _entries(interfaces):
        address = _text(interface / "address")
        if (interface / "device").exists() and not _is_plugged_in(interface) and _is_burnt_in(address):
            yield address


def _is_plugged_in(interface: Path) -> bool:
    """Whether one of the devices that it hangs on says that it can be taken away (USB, Thunderbolt)."""
    device = (interface / "device").resolve()
    return any(_text(parent / "removable") == "removable" for parent in (device, *device.parents))


def _is_burnt_in(address: str) -> bool:
    if not re.fullmatch(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", address) or not _tells(address):
        return False
    return not int(address[:2], 16) & _GLOBAL_AND_ONE


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _root_disk(root: Path) -> Path:
    """The sysfs folder of the disk that ``root`` is on: below a volume its first disk, of a partition the whole."""
    try:
        number = root.stat().st_dev
    except OSError:
        return root / "absent"
    block = (root / "sys/dev/block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    while below := _entries(block / "slaves"):
        block = below[0].resolve()
    return block.parent if (block / "partition").exists() else block
