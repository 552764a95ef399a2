"""What is told of this machine, and what is not."""

from __future__ import annotations

import json
import os
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.machine import hardware, network

if TYPE_CHECKING:
    from pathlib import Path

IPV6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 02 40 20 80     eth7
20010db8000000000000000000000002 02 40 00 80     eth7
20010db8000000000000000000000003 03 40 00 80     gone
zz010db8000000000000000000000003 02 40 00 80     eth7

"""


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_this_machine() -> None:
    found = hardware()
    assert found["machine"] == os.uname().machine
    assert found["kernel"] == os.uname().release
    assert found["cpus"] == os.cpu_count()
    assert found["memory_bytes"] > 2**20


def test_this_machine_s_network() -> None:
    found = network()
    assert found["hostname"] == os.uname().nodename
    assert "lo" not in found["addresses"]
    for addresses in found["addresses"].values():
        assert not any(ip_address(address).is_link_local for address in addresses if ":" in address)


@pytest.mark.parametrize(
    ("files", "model"),
    [
        ({"proc/device-tree/model": "NVIDIA Jetson Orin\0"}, "NVIDIA Jetson Orin"),
        ({"sys/class/dmi/id/product_name": "NUC 13\n"}, "NUC 13"),
        ({"proc/device-tree/model": "\0", "sys/class/dmi/id/product_name": "NUC 13\n"}, "NUC 13"),
        ({"sys/class/dmi/id/product_name": "x" * 1000}, "x" * 200),
        ({"sys/class/dmi/id/product_name": "  \n"}, None),
        ({}, None),
    ],
    ids=["device tree", "DMI", "empty device tree", "long", "left empty by the vendor", "neither"],
)
def test_the_model(tmp_path: Path, files: dict[str, str], model: str | None) -> None:
    write(tmp_path, files)
    assert hardware(tmp_path).get("model") == model


def test_addresses_of_every_interface_but_loopback(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/eth7").mkdir(parents=True)
    (tmp_path / "sys/class/net/lo").mkdir()
    write(tmp_path, {"proc/net/if_inet6": IPV6})
    assert network(tmp_path)["addresses"] == {"eth7": ["2001:db8::2"]}


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert network(tmp_path)["addresses"] == {}


def test_names_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "b\udcffx")
    (tmp_path / os.fsdecode(b"sys/class/net/e\xff7")).mkdir(parents=True)
    write(tmp_path, {"proc/net/if_inet6": ""})
    (tmp_path / "proc/net/if_inet6").write_bytes(b"20010db8000000000000000000000002 02 40 00 80 e\xff7\n")
    assert network(tmp_path)["hostname"] == "b?x"
    assert json.dumps(network(tmp_path)).encode()


def test_a_router_with_thousands_of_addresses(tmp_path: Path) -> None:
    (tmp_path / "sys/class/net/eth7").mkdir(parents=True)
    lines = [f"20010db80000000000000000{number:08x} 02 40 00 80 eth7" for number in range(5000)]
    write(tmp_path, {"proc/net/if_inet6": "\n".join(lines)})
    assert len(network(tmp_path)["addresses"]["eth7"]) == 64


def test_nothing_else_is_told() -> None:
    assert set(hardware()) <= {"machine", "kernel", "cpus", "memory_bytes", "model"}
    assert set(network()) == {"hostname", "addresses"}
