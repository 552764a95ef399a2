"""Our leases are Keygen's form: keygen-py, written by others, takes them; what it refuses, we refuse.

Its configuration is global and it looks at the system's clock, so it runs in a process of its own, on leases that end
in years.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tapi_agent.adapters.leases import LeaseFiles
from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.sandbox.minting import Grant, mint

pytest.importorskip("keygen_sh")

LICENSE_KEY: Final = "C1D2-LICENSE"
GRANT: Final = Grant(
    tenant_id="acme",
    device_id="b0x-of-the-gate",
    camera_id="gate",
    issued=datetime(2026, 3, 1, 12, tzinfo=UTC),
    expiry=datetime(2085, 3, 31, 12, tzinfo=UTC),  # its ttl, in seconds, must fit 32 bits
    valid_until=datetime(2126, 1, 1, tzinfo=UTC),
    sequence=7,
    packs=("retail",),
)
PROGRAM: Final = """
import json, sys
from keygen_sh.config import KeygenConfig, set_config
from keygen_sh.machine_file import MachineFile

asked = json.load(sys.stdin)
place = dict(api_url="https://keygen.invalid", api_version="1.7", api_prefix="v1", account="acme", product="agent")
set_config(KeygenConfig(**place, public_key=asked["public_key"]))
try:
    file = MachineFile.from_cert(asked["secret"], asked["text"])
    file.verify()
    contents = file.decrypt(asked["secret"])
except Exception as error:
    found = {"refused": json.loads(str(error))["type"]}
else:
    found = {
        "fingerprint": contents.machine.fingerprint,
        "license_key": contents.license.key,
        "status": contents.license.status,
        "valid_until": contents.license.expiry.isoformat(),
        "issued": contents.issued.isoformat(),
        "expiry": contents.expiry.isoformat(),
    }
json.dump(found, sys.stdout)
"""


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def by_keygen(text: str, *, trusting: Ed25519PrivateKey, secret: str) -> dict[str, Any]:
    asked = json.dumps({"text": text, "public_key": public(trusting), "secret": secret})
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=asked, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def by_us(text: str, *, trusting: Ed25519PrivateKey, license_key: str = LICENSE_KEY) -> Any:
    keys = {"k": public(trusting)}
    return LeaseFiles(keys=keys, license_key=license_key, fingerprint=GRANT.device_id).read(text)


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def text(key: Ed25519PrivateKey) -> str:
    return mint(GRANT, signer=key, kid="k", license_key=LICENSE_KEY)


def test_both_read_the_same(key: Ed25519PrivateKey, text: str) -> None:
    lease = by_us(text, trusting=key)
    assert by_keygen(text, trusting=key, secret=LICENSE_KEY + GRANT.device_id) == {
        "fingerprint": lease.device_id,
        "license_key": LICENSE_KEY,
        "status": "ACTIVE",
        "valid_until": f"{lease.valid_until:%Y-%m-%dT%H:%M:%S}",
        "issued": f"{lease.issued:%Y-%m-%dT%H:%M:%S}",
        "expiry": f"{lease.expiry:%Y-%m-%dT%H:%M:%S}",
    }


def test_both_refuse_what_another_key_has_signed(text: str) -> None:
    other = Ed25519PrivateKey.generate()
    found = by_keygen(text, trusting=other, secret=LICENSE_KEY + GRANT.device_id)
    assert found == {"refused": "MachineFileNotGenuine"}
    with pytest.raises(LeaseRefusedError, match="no signature of a trusted key"):
        by_us(text, trusting=other)


def test_both_need_the_license_key(key: Ed25519PrivateKey, text: str) -> None:
    assert by_keygen(text, trusting=key, secret="another" + GRANT.device_id) == {"refused": "DecryptionError"}
    with pytest.raises(LeaseRefusedError, match="neither this license key"):
        by_us(text, trusting=key, license_key="another")
