from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tapi_agent.adapters.billing import AbsentBilling
from tapi_agent.domain.delivery import TransportFailure, UsageReply, WireBatch
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import BatchId, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Subject
from tapi_agent.testing.billing import PLAIN

NOW = datetime(2027, 3, 1, tzinfo=UTC)
TENANT = TenantId("tenant")
SUBJECT = Subject(device_id=DeviceId("d"), tenant_id=TENANT, camera_id=CameraId("c"))
CALLS = {
    "health": lambda billing: billing.health(),
    "validate": lambda billing: billing.validate(SUBJECT, PLAIN),
    "license_report": lambda billing: billing.license_report(TENANT),
    "feature": lambda billing: billing.feature(TENANT, "outputs.api"),
    "heartbeat": lambda billing: billing.heartbeat(tenant_id=TENANT, cameras=[], tier="basic"),
    "find_batch": lambda billing: billing.find_batch(UUID(int=7)),
    "usage_sums": lambda billing: billing.usage_sums(TENANT, start=NOW, end=NOW),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_says_what_to_set(call: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        await CALLS[call](AbsentBilling())
    assert "BILLING_SERVICE_URL" in caught.value.fix


async def test_usage_is_kept() -> None:
    billing = AbsentBilling()
    reply = await billing.send_usage(WireBatch(batch_id=BatchId(UUID(int=7)), body=b"{}"))
    assert reply == UsageReply(failure=TransportFailure.REFUSED, written=False)
    await billing.close()
