"""What this machine is and where it can be reached: for people who look after many, nothing depends on it.

What cannot be read is left out. So are MAC addresses and serial numbers, by which others may recognize a machine.
"""

from __future__ import annotations

import os
import platform
import socket
from collections import defaultdict
from contextlib import suppress
from fcntl import ioctl
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MODELS: Final = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
_SIOCGIFADDR: Final = 0x8915
_REQUEST_BYTES: Final = 40  # struct ifreq
_IPV4_IN_REPLY: Final = slice(20, 24)
_LONGEST: Final = 200
_MOST_ADDRESSES: Final = 64


def hardware(root: Path = Path("/")) -> Mapping[str, object]:
    """``machine`` (such as aarch64), ``kernel``, ``cpus``, ``memory_bytes``, ``model``, as far as known."""
    found = {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "memory_bytes": _memory(),
        "model": _model(root),
    }
    return {name: value for name, value in found.items() if value}


def network(root: Path = Path("/")) -> Mapping[str, object]:
    """``hostname`` and ``addresses``: by interface a list, without loopback; at most 64 altogether."""
    addresses: defaultdict[str, list[str]] = defaultdict(list)
    for _, (interface, address) in zip(range(_MOST_ADDRESSES), _addresses(root), strict=False):
        addresses[_clean(interface)].append(address)
    return {"hostname": _clean(socket.gethostname())[:_LONGEST], "addresses": dict(addresses)}


def _clean(name: str) -> str:
    """The kernel takes any bytes for a name; those that are no UTF-8 come as half surrogate pairs."""
    return name.encode(errors="replace").decode()


def _memory() -> int | None:
    with suppress(ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _model(root: Path) -> str:
    """As the firmware has it: a device tree ends it with NUL, a vendor may have left it empty."""
    texts = (_text(root / path).replace("\0", "").strip() for path in _MODELS)
    return next(filter(None, texts), "")[:_LONGEST]


def _addresses(root: Path) -> Iterator[tuple[str, str]]:
    names = [name for name in _names(root / "sys/class/net") if name != "lo"]
    yield from ((name, address) for name in names for address in _ipv4(name))
    yield from ((name, address) for name, address in _ipv6(root) if name in names)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def _ipv4(interface: str) -> Iterator[str]:
    """Its first one. Netlink would tell all, but a service has to be allowed that family of sockets."""
    request = os.fsencode(interface).ljust(_REQUEST_BYTES, b"\0")
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        yield str(IPv4Address(ioctl(any_socket, _SIOCGIFADDR, request)[_IPV4_IN_REPLY]))


def _ipv6(root: Path) -> Iterator[tuple[str, str]]:
    """The kernel's own list: 32 hex digits, four numbers, the interface. Link-local ones lead nowhere from outside."""
    lines = map(str.split, _text(root / "proc/net/if_inet6").splitlines())
    for digits, name in ((fields[0], fields[-1]) for fields in lines if fields):
        with suppress(ValueError):
            address = IPv6Address(bytes.fromhex(digits))
            yield from [] if address.is_link_local else [(name, str(address))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
