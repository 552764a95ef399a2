"""The "no answer" matrix (2-licensing, issue 4): what is no answer takes nothing away, and status says why.

A box is licensed by a sandbox, then started again before a service, or a network, that misbehaves: real client, real
sockets, real lease files. Every row for classic evidence and for signed.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import pytest

from tapi_agent.adapters.billing import HttpBilling
from tapi_agent.adapters.clock import SystemClock
from tapi_agent.adapters.files import FileEvidence
from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.adapters.signing import KEY_BYTES, DeviceKey, DeviceSealer
from tapi_agent.domain.ids import TENANT, CameraId, DeviceId, TenantId
from tapi_agent.domain.license import LicenseState, Subject
from tapi_agent.sandbox.process import SandboxProcess
from tapi_agent.services.connectivity import BILLING, Connectivity
from tapi_agent.services.licensing import Leases, LicensePolicy, Licensing, Surroundings
from tapi_agent.services.timekeeping import Timekeeper
from tapi_agent.testing.leases import FakeMachine
from tapi_agent.testing.licenses import Announcements, MemoryLicenseLog, MemoryMark, MemoryRequest, MemoryRoster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

CAMERAS: Final = [CameraId("gate"), CameraId("yard"), CameraId("dock")]
DEVICE: Final = DeviceId("box")
MARKS: Final = {"disk": "d" * 64, "dmi_serial": "e" * 64, "mac_1": "f" * 64}
SEALER: Final = DeviceSealer(DeviceKey(bytes(KEY_BYTES)))
PATIENT: Final = timedelta(seconds=20)
_TENANTS: Final = count(1)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess(tmp_path_factory.mktemp("sandbox") / "ledger.db") as process:
        yield process


@pytest.fixture(scope="module")
def trust() -> ssl.SSLContext:
    return ssl.create_default_context()


@dataclass(kw_only=True)
class Site:
    """A tenant at the sandbox and the box that it has; ``keys`` are those that the box trusts."""

    sandbox: SandboxProcess
    tenant: TenantId
    keys: Mapping[str, str]
    evidence: Path
    trust: ssl.SSLContext
    roster: MemoryRoster = field(default_factory=MemoryRoster)

    @asynccontextmanager
    async def box(self, *, url: str = "", patience: timedelta = PATIENT) -> AsyncIterator[Licensing]:
        """The agent's licensing, started on what the box has on disk."""
        subject = Subject(device_id=DEVICE, tenant_id=self.tenant, camera_id=TENANT)
        billing = HttpBilling(
            base_url=f"{url or self.sandbox.url}/api/v1",
            api_key=f"key-of-{self.tenant}",
            device_id=DEVICE,
            timeout=patience,
            retries=0,
            dialect="auto",
            agent_version="1.2.3",
            verify=self.trust,
        )
        machine = SystemClock()
        clock = Timekeeper(clock=machine, store=MemoryMark())
        self.connectivity = Connectivity(clock=clock, billing=billing)
        reader = LeaseFiles(keys=self.keys, license_key=None, fingerprint=DEVICE)
        self.log = MemoryLicenseLog()
        licensing = Licensing(
            around=Surroundings(
                tenant=subject,
                policy=LicensePolicy(),
                billing=billing,
                connectivity=self.connectivity,
                clock=clock,
                machine=machine,
                leases=Leases(reader=reader, machine=FakeMachine(MARKS), tenant=subject),
                entropy=os.urandom,
            ),
            tiers=[FileEvidence(self.evidence)],
            sealer=SEALER,
            roster=self.roster,
            requests=MemoryRequest(),
            edge_log=self.log,
            publisher=Announcements(),
        )
        await licensing.start()
        for camera in CAMERAS:
            licensing.register(camera)
        try:
            yield licensing
        finally:
            await licensing.stop()
            await billing.close()

    async def license(self) -> None:
        """The box hears that all its cameras are licensed, and keeps that."""
        async with self.box() as licensing:
            assert (await licensing.refresh()).answered == len(CAMERAS)
            assert {licensing.view(camera).evidence.signed for camera in CAMERAS} == {bool(self.keys)}


@pytest.fixture(params=["classic", "signed"])
async def site(
    request: pytest.FixtureRequest, sandbox: SandboxProcess, trust: ssl.SSLContext, tmp_path: Path
) -> AsyncIterator[Site]:
    tenant = TenantId(f"tenant-{next(_TENANTS)}")
    sandbox.admin.add_tenant(tenant, f"key-of-{tenant}")
    sandbox.admin.subscribe(tenant, valid_until="2199-01-01T00:00:00Z")
    keys = {}
    if request.param == "signed":
        sandbox.admin.leases(tenant)
        known = sandbox.admin.keys()
        keys = {key["kid"]: key["public_key"] for key in known}
    yield Site(sandbox=sandbox, tenant=tenant, keys=keys, evidence=tmp_path / "evidence.json", trust=trust)
    sandbox.admin.clear_faults()


def standing(licensing: Licensing) -> list[tuple[Any, Any]]:
    views = [licensing.view(camera) for camera in CAMERAS]
    return [(view.evidence, view.standing.state) for view in views]


async def expect_nothing_taken(licensing: Licensing, site: Site, *, says: str) -> None:
    """Ask for all cameras, and for each by itself; nothing may change but what is said of the last attempt."""
    before = standing(licensing)
    assert {state for _, state in before} == {LicenseState.VALID}
    done = await licensing.refresh()
    for camera in CAMERAS:
        await licensing.validate(camera, wait=timedelta(seconds=30))
    assert done.answered == 0
    assert standing(licensing) == before
    assert {says in (licensing.view(camera).problem or "") for camera in CAMERAS} == {True}
    assert not site.log.edges


FAULTS = {
    "500": ({"action": "status", "status": 500}, "500, the service has failed"),
    "502": ({"action": "status", "status": 502}, "502, the service has failed"),
    "503": ({"action": "status", "status": 503}, "503, the service has failed"),
    "504": ({"action": "status", "status": 504}, "504, the service has failed"),
    "429": ({"action": "status", "status": 429, "retry_after": 60}, "429, the service asks for fewer requests"),
    "401": ({"action": "status", "status": 401}, "401, the service does not accept the API key"),
    "403": ({"action": "status", "status": 403}, "403, the service forbids this to the API key"),
    "404": ({"action": "status", "status": 404}, "404, the service does not know it"),
    "400": ({"action": "status", "status": 400}, "400, the service refuses the request"),
    "reset": ({"action": "refuse"}, "the reply broke off or is not HTTP"),
    "302 to a login page": (
        {"action": "captive_portal", "location": "http://portal.example/login"},
        "302, a redirect to http://portal.example/login, not followed",
    ),
    "200 HTML": ({"action": "captive_portal"}, "instead of JSON"),
    "truncated JSON": ({"action": "garbage"}, "malformed JSON"),
    "wrong types": ({"action": "wrong_types"}, "malformed reply of the billing service"),
}
LINK_LOST: Final = {"500", "502", "503", "504", "429", "401", "403", "reset", "302 to a login page", "200 HTML"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_evil_of_the_service_or_the_way_to_it(site: Site, fault: str) -> None:
    rule, says = FAULTS[fault]
    await site.license()
    site.sandbox.admin.faults(rule)
    async with site.box() as licensing:
        await expect_nothing_taken(licensing, site, says=says)
    assert site.connectivity.report()[BILLING].up is (fault not in LINK_LOST)


async def test_a_hung_service_costs_a_round_one_timeout(site: Site) -> None:
    await site.license()
    async with site.box(patience=timedelta(milliseconds=300)) as licensing:
        site.sandbox.pause()
        try:
            before = site.sandbox, standing(licensing)
            done = await licensing.refresh()
            assert done.answered == 0
            await expect_nothing_taken(licensing, site, says="no complete reply in time (0.3 s)")
            assert before == (site.sandbox, standing(licensing))
        finally:
            site.sandbox.resume()


async def test_a_name_that_does_not_resolve(site: Site) -> None:
    await site.license()
    async with site.box(url="http://does-not-exist.invalid", patience=timedelta(seconds=60)) as licensing:
        await expect_nothing_taken(licensing, site, says="its name cannot be resolved")


async def test_nobody_listens(site: Site) -> None:
    await site.license()
    async with site.box(url="http://127.0.0.1:1") as licensing:
        await expect_nothing_taken(licensing, site, says="no connection")


async def test_a_certificate_that_nobody_trusts(site: Site, self_signed: str) -> None:
    await site.license()
    async with site.box(url=self_signed) as licensing:
        await expect_nothing_taken(licensing, site, says="no trusted TLS connection")


FORGERIES = {
    "unsigned": "unsigned reply while a key is trusted",
    "replay_lease": "the lease answers another request",
    "wrong_nonce": "the lease answers another request",
    "wrong_machine": "the lease was made for device another-machine",
    "wrong_key": "a key as its signer's that is not trusted",
    "wrong_subject": "the lease is for another subject: camera another-camera",
    "old_sequence": "the lease is older than what is known",
}


@pytest.mark.parametrize("site", ["signed"], indirect=True)
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_lease_that_must_not_count(site: Site, forgery: str) -> None:
    await site.license()
    site.sandbox.admin.revoke(site.tenant)
    site.sandbox.admin.faults({"action": forgery})
    async with site.box() as licensing:
        await expect_nothing_taken(licensing, site, says=FORGERIES[forgery])
    assert site.connectivity.report()[BILLING].up, "the service answers, only not with what counts"


@pytest.mark.parametrize("site", ["signed"], indirect=True)
async def test_a_key_that_was_rotated_away_from_what_is_trusted(site: Site) -> None:
    await site.license()
    site.sandbox.admin.rotate_key()
    async with site.box() as licensing:
        await expect_nothing_taken(licensing, site, says="not trusted")


async def test_what_is_an_answer_does_count(site: Site) -> None:
    """The proof that the rows above can fail: without any fault the same steps take the licenses away."""
    await site.license()
    site.sandbox.admin.revoke(site.tenant)
    async with site.box() as licensing:
        done = await licensing.refresh()
        assert done.answered == len(CAMERAS)
        states = {licensing.view(camera).standing.state for camera in CAMERAS}
        assert states == {LicenseState.EXPIRED if site.keys else LicenseState.VALID}, "unsigned: confirmed in a minute"
        assert {licensing.view(camera).problem for camera in CAMERAS} == {None}


async def test_a_round_of_many_cameras(site: Site) -> None:
    """Classic: one report once the service knows them. Signed: one call and one lease a camera."""
    many = [CameraId(f"camera {number}") for number in range(60)]
    async with site.box() as licensing:
        for camera in many:
            licensing.register(camera)
        for _ in range(2):
            assert (await licensing.refresh()).answered == len(many) + len(CAMERAS)
        assert {licensing.view(camera).standing.state for camera in many} == {LicenseState.VALID}
        assert {licensing.view(camera).evidence.signed for camera in many} == {bool(site.keys)}
        assert (licensing.view(TENANT).evidence is None) is bool(site.keys)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose certificate nobody trusts; it would license anything."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, *subject, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl binary to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), Generous) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Generous(BaseHTTPRequestHandler):
    """Says yes to everything."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"is_valid": true, "license_mode": "enterprise"}')

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ssl.SSLError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """On the terminal it helps nobody."""
