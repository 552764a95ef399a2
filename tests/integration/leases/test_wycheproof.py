"""The verification of signatures agrees with Project Wycheproof, malleable signatures included."""

from __future__ import annotations

import json

import pytest
from tests.integration.leases.conftest import by_others

from tapi_agent.adapters.leases.envelope import verifies


def test_all_vectors_agree() -> None:
    groups = json.loads(by_others("wycheproof", "ed25519_test.json"))["testGroups"]
    cases = [(group["publicKey"]["pk"], case) for group in groups for case in group["tests"]]
    found = {case["tcId"]: verifies(key, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])) for key, case in cases}
    assert found == {case["tcId"]: case["result"] == "valid" for _, case in cases}
    assert len(found) == 151


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    assert not verifies(f"{1:064x}", bytes(length), b"")
