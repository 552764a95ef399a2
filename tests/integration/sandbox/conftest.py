"""A sandbox per worker and a tenant per test, spoken to as any client does: bytes over a socket."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from tapi_agent.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tapi_agent.sandbox.admin import SandboxAdmin

TIMEOUT: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A request of the extension, ready to be sent any number of times."""

    batch_id: str
    body: bytes
    sha256: str
    event_ids: list[str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotency-Key": self.batch_id}


def event_text(event_id: str | None = None, *, quantity: str = "1", seq: int = 1, **fields: object) -> str:
    """One event as JSON text; ``quantity`` is written as it stands."""
    known = {"event_id": event_id, "device_id": "device", "camera_id": "cam-01", "seq": seq} if event_id else {}
    document = {
        "tenant_id": "tenant",
        "event_type": "api_call",
        "resource_id": "r",
        "unit": "calls",
        "event_time": "2026-03-01T12:00:00Z",
        "metadata": {},
    } | known
    rest = json.dumps({name: value for name, value in (document | fields).items() if value is not ...})
    return f'{{"quantity": {quantity}, {rest[1:]}'


def seal(texts: Sequence[str], *, stream: str | None = None, first_seq: int = 1, **fields: object) -> Batch:
    """Seal events as a client would; ``fields`` falsify the seal."""
    events = f"[{', '.join(texts)}]"
    sha256 = hashlib.sha256(events.encode()).hexdigest()
    head = {
        "batch_id": str(uuid4()),
        "device_id": "device",
        "stream": stream or str(uuid4()),
        "first_seq": first_seq,
        "last_seq": first_seq + len(texts) - 1,
        "count": len(texts),
        "sha256": sha256,
        "prev_sha256": None,
    } | fields
    body = f'{json.dumps(head)[:-1]}, "events" : {events} }}'.encode()
    ids = re.findall(r'"event_id": "([0-9a-f-]{36})"', events)
    return Batch(batch_id=str(head["batch_id"]), body=body, sha256=sha256, event_ids=ids)


def new_batch(events: int = 1, /, **fields: object) -> Batch:
    """A sound batch of new events, one call each."""
    return seal([event_text(str(uuid4()), seq=seq) for seq in range(1, events + 1)], **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The sandbox, as one tenant meets it."""

    process: SandboxProcess
    tenant: str
    key: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> SandboxAdmin:
        return self.process.admin

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """One request on a connection of its own; ``body`` is bytes or a document."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        fields = {"Authorization": f"Bearer {self.key}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        connection = self.connection()
        try:
            connection.request(method, path, body=data, headers=fields)
            return read(connection)
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.process.url.removeprefix("http://"), timeout=TIMEOUT)

    def send(self, batch: Batch) -> Reply:
        return self.call("POST", "/api/v1/usage/batch", batch.body, **batch.headers)

    def send_classic(self, *texts: str) -> Reply:
        return self.call("POST", "/api/v1/usage/batch", f'{{"events": [{", ".join(texts)}]}}'.encode())

    def validate(self, camera_id: str = "cam-01", **fields: object) -> Reply:
        document = {"tenant_id": self.tenant, "camera_id": camera_id, "device_id": "device"} | fields
        return self.call("POST", "/api/v1/licenses/validate", document)

    def fault(self, action: str, **fields: object) -> None:
        self.admin.faults({"action": action, **fields})

    def billed(self) -> list[dict[str, Any]]:
        """The lines of this tenant's account."""
        return [line for line in self.admin.ledger() if line["account"] == self.tenant]

    def quantities(self) -> list[str]:
        return [line["quantity"] for line in self.billed()]


def read(connection: http.client.HTTPConnection) -> Reply:
    reply = connection.getresponse()
    return Reply(status=reply.status, headers=dict(reply.getheaders()), body=reply.read())


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.db") as process:
        yield process


@pytest.fixture
def service(shared: SandboxProcess) -> Iterator[Service]:
    """A new tenant with a base license for any number of cameras."""
    tenant, key = f"tenant-{uuid4()}", f"key-{uuid4()}"
    shared.admin.add_tenant(tenant, key)
    shared.admin.subscribe(tenant, valid_until="2199-01-01T00:00:00Z")
    yield Service(process=shared, tenant=tenant, key=key)
    shared.admin.clear_faults()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Service]:
    """A sandbox that the test may pause and kill."""
    with SandboxProcess(tmp_path / "ledger.db", tenant="own", api_key="own-key") as process:
        yield Service(process=process, tenant="own", key="own-key")
