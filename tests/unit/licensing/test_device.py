from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tapi_agent.adapters.device import device_id
from tapi_agent.adapters.files import keep_first

if TYPE_CHECKING:
    from pathlib import Path

MACHINE_ID = "3d1219c7c4c5404aaa1f6d2a48adfda4"


@pytest.fixture
def identify(tmp_path: Path):
    def identify(configured: str = "auto", machine_id: str | None = MACHINE_ID) -> str:
        path = tmp_path / "machine-id"
        path.unlink(missing_ok=True)
        if machine_id is not None:
            path.write_text(machine_id)
        return device_id(configured, kept=tmp_path / "device-id", keep=keep_first, machine_id=path)

    return identify


def test_a_configured_id_is_taken_as_it_is(identify) -> None:
    assert identify("box 7") == "box 7"


def test_auto_is_derived_from_the_machine_and_does_not_reveal_it(identify, tmp_path: Path) -> None:
    derived = identify()
    assert derived == identify(machine_id=f"{MACHINE_ID}\n")
    assert UUID(derived).version == 4
    assert MACHINE_ID not in derived.replace("-", "")
    assert not (tmp_path / "device-id").exists()


def test_other_machines_have_other_ids(identify) -> None:
    assert identify() != identify(machine_id="0" * 31 + "1")


@pytest.mark.parametrize("machine_id", [None, "", "uninitialized\n", "0" * 32, "é" * 32, "../etc"], ids=str)
def test_a_machine_without_an_id_gets_one_for_good(identify, machine_id) -> None:
    first = identify(machine_id=machine_id)
    assert UUID(first).version == 4
    assert identify(machine_id=machine_id) == first


def test_a_machine_id_that_appears_later_makes_no_other_device_of_it(identify) -> None:
    first = identify(machine_id=None)
    assert identify() == first
