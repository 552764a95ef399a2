"""The example of docs/lease-files.md is a lease, and its table names what the reader asks for."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.leases.conftest import Authority, T, reader

from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.lease import Lease, LeaseKind, LeaseRefusedError
from tapi_agent.domain.license import LicenseMode, LicenseStatus

PAGE = (Path(__file__).parents[3] / "docs" / "lease-files.md").read_text()
SIGNER = Authority(kid="2027")
BOX = reader(SIGNER)
PLACES = {
    "data.type": "data.type",
    "data.attributes.fingerprint": "data.attributes.fingerprint",
    "attributes.expiry": "included.0.attributes.expiry",
    "metadata.tapi": "data.attributes.metadata.tapi",
} | {f"meta.{name}": f"meta.{name}" for name in ("issued", "expiry", "nonce", "reset_clock")}
ROWS = re.findall(r"^\| (?:.*: )?`([\w.]+)` \| .* \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def example() -> Any:
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    return json.loads(text)


def test_the_example_says_what_it_seems_to() -> None:
    assert BOX.read(SIGNER.seal(example())) == Lease(
        kind=LeaseKind.MACHINE,
        key_id="2027",
        issued=T,
        expiry=T + timedelta(days=30),
        tenant_id=TenantId("acme"),
        camera_id=CameraId(""),
        device_id=DeviceId("b0x"),
        mode=LicenseMode.BASE,
        status=LicenseStatus.ACTIVE,
        valid_until=datetime(2028, 1, 1, tzinfo=UTC),
        packs=("retail",),
        cameras_allowed=16,
        sequence=7,
        nonce="00112233445566778899aabbccddeeff",
        components={"board": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    )


def test_the_table_has_every_field_of_the_example() -> None:
    def leaves(value: Any, place: str) -> set[str]:
        match value:
            case dict() if not place.endswith("components"):
                return {leaf for name, inner in value.items() for leaf in leaves(inner, f"{place}.{name}")}
            case [{**inner}]:
                return leaves(inner, f"{place}.0")
            case _:
                return {place.removeprefix(".")}

    documented = {place_of(name) for name, _, _ in ROWS} - {PLACES["metadata.tapi"]}
    assert leaves(example(), "") - {"included.0.type"} == documented


@pytest.mark.parametrize("null", [False, True], ids=["absent", "null"])
@pytest.mark.parametrize(("name", "absent", "nothing"), ROWS, ids=[name for name, _, _ in ROWS])
def test_what_the_table_calls_refused_is(name: str, absent: str, nothing: str, null: bool) -> None:  # noqa: FBT001 - a case
    document = example()
    *way, last = place_of(name).split(".")
    place = document
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[last] = None
    if not null:
        del place[last]
    if (nothing if null else absent) == "refused":
        with pytest.raises(LeaseRefusedError):
            BOX.read(SIGNER.seal(document))
    else:
        assert BOX.read(SIGNER.seal(document)).key_id == "2027"


def place_of(name: str) -> str:
    return PLACES.get(name, f"data.attributes.metadata.tapi.{name}")
