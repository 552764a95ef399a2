from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tapi_agent.adapters.hardware import Hardware
from tapi_agent.domain.binding import MACHINE_ID, compare

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = "3d1219c7c4c5404aaa1f6d2a48adfda4"
MAC = "3c:ec:ef:12:34:56"
OTHER_MAC = "3c:ec:ef:12:34:57"


class Box:
    """A file tree as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds = 0.0
        self.hardware = Hardware(root, monotonic=lambda: self.seconds)

    def write(self, path: str, content: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def link(self, path: str, target: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.root / target)

    def interface(self, name: str, address: str, *, device: str = "pci0000:00/0000:00:03.0") -> None:
        self.write(f"sys/class/net/{name}/address", f"{address}\n")
        if device:
            self.write(f"sys/devices/{device}/vendor", "")
            self.link(f"sys/class/net/{name}/device", f"sys/devices/{device}")

    def disk(self, folder: str) -> None:
        """The disk that the root is on has its folder here."""
        number = self.root.stat().st_dev
        self.link(f"sys/dev/block/{os.major(number)}:{os.minor(number)}", folder)

    def components(self) -> dict[str, str]:
        return dict(self.hardware.components())


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


@pytest.fixture
def full(box: Box) -> Box:
    """A box on which everything can be read."""
    box.write("etc/machine-id", f"{MACHINE}\n")
    box.write("sys/firmware/devicetree/base/serial-number", "1423019084512\0")
    box.write("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8052-B4C04F4A3632\n")
    box.write("sys/class/dmi/id/product_serial", "8B5RJ62\n")
    box.interface("eth0", MAC)
    box.interface("eth1", OTHER_MAC)
    box.write("sys/devices/mmc/block/mmcblk0/device/cid", "27504853443332473060f3e2c0017c00\n")
    box.write("sys/devices/mmc/block/mmcblk0/mmcblk0p2/partition", "2\n")
    box.disk("sys/devices/mmc/block/mmcblk0/mmcblk0p2")
    return box


def test_every_part_has_a_mark_and_none_reveals_the_part(full: Box) -> None:
    found = full.components()
    macs = {name for name in found if name.startswith("mac_")}
    assert set(found) - macs == {"board_serial", "dmi_uuid", "dmi_serial", "disk", MACHINE_ID}
    assert len(macs) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", mark) for mark in found.values())
    shown = repr(found).lower()
    for secret in (MACHINE, MAC, MAC.replace(":", ""), "1423019084512", "8b5rj62", "4c4c4544", "27504853"):
        assert secret not in shown


def test_a_box_that_shows_nothing_has_no_parts(box: Box) -> None:
    assert box.components() == {}


def test_a_root_that_is_gone_has_no_parts(tmp_path: Path) -> None:
    assert Hardware(tmp_path / "absent").components() == {}


def test_what_may_not_be_read_is_left_out(full: Box) -> None:
    (full.root / "sys/class/dmi/id/product_uuid").unlink()
    (full.root / "sys/class/dmi/id/product_uuid").mkdir()  # not even root can read this
    assert "dmi_uuid" not in full.components()


@pytest.mark.parametrize(
    "filler",
    [
        "To be filled by O.E.M.",
        "Default string",
        "None",
        "",
        "   ",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "0123456789",
        "System Serial Number",
        "................",
        "abc",
    ],
)
def test_what_vendors_put_in_place_of_a_number_is_none(box: Box, filler: str) -> None:
    box.write("sys/class/dmi/id/product_uuid", f"{filler}\n")
    box.write("sys/class/dmi/id/product_serial", f"{filler}\n")
    assert box.components() == {}


def test_a_board_serial_stands_in_for_a_product_without_one(box: Box) -> None:
    box.write("sys/class/dmi/id/product_serial", "Default string\n")
    box.write("sys/class/dmi/id/board_serial", "MB-1234\n")
    assert list(box.components()) == ["dmi_serial"]


@pytest.mark.parametrize(
    ("address", "device"),
    [
        pytest.param(MAC, "", id="virtual: a bridge, a VLAN, a container"),
        pytest.param("3e:ec:ef:12:34:56", "pci", id="made up locally"),
        pytest.param("01:00:5e:12:34:56", "pci", id="a group"),
        pytest.param("00:00:00:00:00:00", "pci", id="none"),
        pytest.param("ff:ff:ff:ff:ff:ff", "pci", id="all"),
        pytest.param("80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0b:5e:81", "pci", id="InfiniBand"),
        pytest.param("", "pci", id="nothing"),
    ],
)
def test_interfaces_that_are_no_part_of_the_machine(box: Box, address: str, device: str) -> None:
    box.interface("net0", address, device=device)
    assert box.components() == {}


def test_what_is_plugged_in_is_no_part_of_the_machine(box: Box) -> None:
    box.interface("usb0", MAC, device="pci/usb1/1-2/1-2:1.0")
    box.write("sys/devices/pci/usb1/1-2/removable", "removable\n")
    box.interface("eth0", OTHER_MAC, device="pci/usb1/1-1/1-1:1.0")  # soldered on, as on many ARM boards
    box.write("sys/devices/pci/usb1/1-1/removable", "fixed\n")
    assert len(box.components()) == 1


def test_the_order_of_interfaces_does_not_matter(full: Box, tmp_path_factory: pytest.TempPathFactory) -> None:
    swapped = Box(tmp_path_factory.mktemp("swapped"))
    swapped.interface("eth1", MAC.upper())
    swapped.interface("enp3s0", OTHER_MAC)
    assert swapped.components().items() <= full.components().items()
    assert len(swapped.components()) == 2


@pytest.mark.parametrize("file", ["device/cid", "device/serial", "serial", "wwid"])
def test_the_disk_that_the_system_is_on(box: Box, file: str) -> None:
    box.write(f"sys/devices/virtio/block/vda/{file}", "S4EWNX0R123456\n")
    box.disk("sys/devices/virtio/block/vda")
    assert list(box.components()) == ["disk"]


def test_the_disk_below_a_volume(box: Box) -> None:
    box.write("sys/devices/ata/block/sda/device/wwid", "naa.5002538e40a1b2c3\n")
    box.write("sys/devices/ata/block/sda/sda3/partition", "3\n")
    box.link("sys/devices/virtual/block/dm-0/slaves/sda3", "sys/devices/ata/block/sda/sda3")
    box.disk("sys/devices/virtual/block/dm-0")
    assert list(box.components()) == ["disk"]


def test_one_number_in_two_places_makes_two_marks(box: Box) -> None:
    for name in ("product_uuid", "product_serial"):
        box.write(f"sys/class/dmi/id/{name}", "8B5RJ62\n")
    found = box.components()
    assert found["dmi_uuid"] != found["dmi_serial"]


def test_it_looks_once_a_minute_at_most(box: Box) -> None:
    box.write("etc/machine-id", MACHINE)
    before = box.components()
    box.write("etc/machine-id", MACHINE[::-1])
    box.seconds = 59.9
    assert box.components() == before
    box.seconds = 60.0
    assert box.components() != before


def test_one_changed_interface_is_no_other_machine(full: Box) -> None:
    recorded = full.components()
    full.write("sys/class/net/eth1/address", "3c:ec:ef:99:99:99\n")
    full.seconds = 60.0
    match = compare(recorded, full.components())
    assert match.same_machine
    assert len(match.drifted) == 1
    assert match.drifted[0].startswith("mac_")
