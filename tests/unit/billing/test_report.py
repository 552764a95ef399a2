"""GET /billing/license/{tenant}: what spoils the whole report, and what spoils one camera."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tapi_agent.adapters.billing import forms, report
from tapi_agent.domain.errors import IntegrityError
from tapi_agent.domain.license import LicenseMode, LicenseStatus
from tapi_agent.ports.billing import LicenseReply

GATE = {"camera_id": "gate", "mode": "base", "is_valid": True}
WHOLE = {"license_mode": "enterprise", "is_valid": True, "cameras_allowed": 4, "cameras": [GATE]}


async def read(document):
    body = json.dumps(document).encode()
    return await report.license_report(forms.document(body), cleaned=lambda text: text.replace(b"key", b"***"))


async def test_a_report_as_a_service_of_today_gives_it() -> None:
    entry = GATE | {"valid_until": "2027-01-01T10:00:00+10:00", "enabled_growth_packs": ["Retail"]}
    found = await read(WHOLE | {"active_cameras": 1, "days_remaining": 3, "cameras": [entry]})
    assert found.tenant.mode is LicenseMode.ENTERPRISE
    assert found.cameras == {
        "gate": LicenseReply(
            is_valid=True,
            mode=LicenseMode.BASE,
            packs=("Retail",),
            valid_until=datetime(2027, 1, 1, tzinfo=UTC),
            cameras_allowed=4,
            raw=json.dumps(entry),
        )
    }
    assert found.malformed == {}


async def test_the_extension_adds_status_sequence_and_time() -> None:
    extended = {"status": "past_due", "sequence": 7, "server_time": "2027-01-01T00:00:00Z"}
    found = await read(WHOLE | extended | {"cameras": [GATE | {"status": "suspended", "sequence": 6}]})
    assert (found.tenant.status, found.tenant.sequence) == (LicenseStatus.PAST_DUE, 7)
    assert found.tenant.server_time == datetime(2027, 1, 1, tzinfo=UTC)
    assert (found.cameras["gate"].status, found.cameras["gate"].sequence) == (LicenseStatus.SUSPENDED, 6)


@pytest.mark.parametrize(
    "change",
    [{"is_valid": "yes"}, {"license_mode": 7}, {"cameras": True}, {"cameras_allowed": "4"}, {"server_time": 7}],
    ids=str,
)
async def test_a_malformed_whole_is_no_report(change) -> None:
    with pytest.raises(IntegrityError):
        await read(WHOLE | change)


@pytest.mark.parametrize(
    "change",
    [{"is_valid": None}, {"mode": "platinum"}, {"valid_until": "soon"}, {"status": 7}, {"enabled_growth_packs": 7}],
    ids=str,
)
async def test_a_malformed_entry_spoils_its_own_camera_only(change) -> None:
    found = await read(WHOLE | {"cameras": [GATE, GATE | {"camera_id": "yard"} | change]})
    assert set(found.cameras) == {"gate"}
    assert set(found.malformed) == {"yard"}


@pytest.mark.parametrize("entry", [7, None, {}, {"camera_id": 7}, {"camera_id": ""}], ids=str)
async def test_what_names_no_camera_is_nobodys(entry) -> None:
    found = await read(WHOLE | {"cameras": [entry, GATE]})
    assert (set(found.cameras), found.malformed) == ({"gate"}, {})


async def test_two_words_on_one_camera_are_none() -> None:
    found = await read(WHOLE | {"cameras": [GATE, GATE | {"is_valid": False}]})
    assert found.cameras == {}
    assert "2 words on one camera" in str(found.malformed["gate"])


@pytest.mark.parametrize("cameras", [[], None])
async def test_a_tenant_without_cameras(cameras) -> None:
    assert (await read(WHOLE | {"cameras": cameras})).cameras == {}


async def test_what_is_kept_for_people_holds_neither_key_nor_lease() -> None:
    found = await read(WHOLE | {"echo": "key", "lease": "-----BEGIN", "cameras": [GATE | {"echo": "key"}]})
    kept = found.tenant.raw + found.cameras["gate"].raw
    assert (kept.count("***"), "BEGIN" in kept, "key" in kept) == (2, False, False)
    assert found.tenant.lease == ""
