"""When there are any words on single features to hear: the settings, and how the licenses stand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.unit.licensing.conftest import Stage
from tests.unit.overrides.conftest import in_virtual_time

from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.bootstrap.core import Core
from tapi_agent.bootstrap.overrides import overrides
from tapi_agent.domain.license import LicenseStatus
from tapi_agent.ports.billing import FeatureReply
from tapi_agent.settings import load
from tapi_agent.testing.billing import GOOD
from tapi_agent.testing.clock import START

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from tapi_agent.ports.quotas import Asked
    from tapi_agent.services.licensing import Licensing
    from tapi_agent.services.overrides import Overrides

SMS = "outputs.sms"
TENANT = {"TENANT_ID": "acme"}
KEY = {"TRUSTED_KEYS": f"k1:{'ab' * 32}"}
HOUR = timedelta(hours=1)


class NoQuotas:
    async def asking(self, _meter: str) -> Asked | None:
        return None

    async def told(self, _asked: Asked, _remaining: Decimal) -> None:
        raise AssertionError("nothing was asked")


async def wired(stage: Stage, licensing: Licensing, folder: Path, **environ: str) -> Overrides:
    settings = load({"TAPI_STATE_DIR": str(folder), **environ}, folder)
    core = Core(
        subject=stage.tenant if settings.tenant_id else replace(stage.tenant, tenant_id=""),
        machine=stage.machine,  # type: ignore[arg-type]
        clock=stage.clock,
        billing=stage.billing,  # type: ignore[arg-type]
        connectivity=stage.connectivity,
        key=DeviceKey(bytes(32)),
    )
    words = overrides(settings, core, licensing, NoQuotas(), {}.get)
    await words.start()
    words.interested(SMS)
    return words


def new_stage() -> Stage:
    stage = Stage()
    stage.billing.answer_feature(SMS, FeatureReply(is_enabled=True))
    return stage


@pytest.fixture
async def stage() -> Stage:
    return new_stage()


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        pytest.param(TENANT, [SMS], id="asks"),
        pytest.param({}, [], id="no-tenant"),
        pytest.param(TENANT | KEY, [], id="signed-leases-alone-decide"),
        pytest.param(TENANT | {"ENABLE_LICENSE_VALIDATION": "false"}, [], id="air-gapped"),
    ],
)
def test_where_words_are_asked_for(tmp_path: Path, environ: dict[str, str], asked: list[str]) -> None:
    async def main() -> None:
        stage = new_stage()
        licensing = await stage.settled("gate")
        first = await wired(stage, licensing, tmp_path, **TENANT)
        await first.ask()
        stage.billing.features_asked.clear()
        second = await wired(stage, licensing, tmp_path, **environ)
        assert list(second.view()) == asked, "what was kept counts only where it may be renewed"
        running = asyncio.create_task(second.run())
        second.wake()
        await asyncio.sleep(60)
        assert stage.billing.features_asked == asked
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await licensing.stop()

    in_virtual_time(main())


@pytest.mark.parametrize(
    ("answer", "later", "asked"),
    [
        pytest.param(GOOD, timedelta(0), True, id="valid"),
        pytest.param(GOOD, 2 * HOUR, True, id="offline"),
        pytest.param(GOOD, 30 * 24 * HOUR, False, id="out-of-contact"),
        pytest.param(replace(GOOD, valid_until=START + HOUR), 2 * HOUR, False, id="in-grace-after-its-end"),
        pytest.param(replace(GOOD, status=LicenseStatus.PAST_DUE), timedelta(0), True, id="in-arrears"),
        pytest.param(replace(GOOD, is_valid=False, status=LicenseStatus.REVOKED), timedelta(0), False, id="revoked"),
    ],
)
async def test_only_a_license_that_the_service_honors_is_asked_for(
    stage: Stage, tmp_path: Path, answer: object, later: timedelta, *, asked: bool
) -> None:
    stage.billing.answer("gate", answer)
    licensing = await stage.settled("gate")
    stage.billing.offline()
    await stage.pass_time(later)
    await licensing.refresh()
    words = await wired(stage, licensing, tmp_path, **TENANT)
    await words.ask()
    assert stage.billing.features_asked == ([SMS] if asked else [])
    stage.billing.online()
    await licensing.stop()


async def test_news_of_a_license_has_everything_asked_anew(stage: Stage, tmp_path: Path) -> None:
    licensing = await stage.settled("gate")
    words = await wired(stage, licensing, tmp_path, **TENANT)
    await words.ask()
    await licensing.refresh()
    await words.ask()
    assert stage.billing.features_asked == [SMS]
    stage.billing.answer("gate", replace(GOOD, packs=("integration",), sequence=2))
    await licensing.refresh()
    await words.ask()
    assert stage.billing.features_asked == [SMS, SMS]
    await licensing.stop()
