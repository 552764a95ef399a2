"""Whatever is changed in a file is seen before anything in it is decrypted or decoded."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.leases.conftest import LICENSE_KEY, Authority, envelope, reader

from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason
from tapi_agent.sandbox.sealing import armor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tapi_agent.adapters.leases import LeaseFiles

SIGNER = Authority()
ENCRYPTED = SIGNER.mint(license_key=LICENSE_KEY)
PLAIN = SIGNER.mint()
KEYLESS = reader(SIGNER)
"""A box without a license key: that contents were reached shows in what it says of them."""


def is_seen(text: str, box: LeaseFiles = KEYLESS) -> bool:
    """Whether a file is refused, and before its contents were looked at."""
    with pytest.raises(LeaseRefusedError) as refusal:
        box.read(text)
    assert refusal.value.fix
    return "genuine" not in str(refusal.value)


def test_contents_that_are_reached_show() -> None:
    assert not is_seen(ENCRYPTED)
    assert KEYLESS.read(PLAIN).sequence == 7


@pytest.mark.parametrize("text", [ENCRYPTED, PLAIN], ids=["encrypted", "plain"])
@pytest.mark.parametrize("bit", range(8))
def test_every_bit_of_every_byte_counts(text: str, bit: int) -> None:
    data = text.encode()
    flipped = (data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)))
    assert all(is_seen(one.decode("latin-1")) for one in flipped)


@given(data=st.data())
def test_nothing_can_be_put_in_or_left_out(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(PLAIN) - 2))
    into = data.draw(st.text(alphabet="A=+/ \n\r\t-é\0", max_size=3))
    until = data.draw(st.integers(at, min(at + 61, len(PLAIN) - 1)))
    changed = PLAIN[:at] + into + PLAIN[until:]
    assert changed == PLAIN or is_seen(changed)


def respelled(text: str) -> dict[str, str]:
    """The same envelope in another spelling of its JSON."""
    members = envelope(text)
    sig, alg = members["sig"], members["alg"]
    return {
        "spaces": json.dumps(members),
        "newline at the end": json.dumps(members, separators=(",", ":")) + "\n",
        "escapes": json.dumps(members, separators=(",", ":")).replace("base64", "\\u0062ase64"),
        "another member": json.dumps(members | {"kid": "2027"}, separators=(",", ":")),
        "a member missing": json.dumps({"enc": members["enc"], "sig": sig}, separators=(",", ":")),
        "a member twice": f'{{"enc":"{members["enc"]}","sig":"{sig}","sig":"{sig}","alg":"{alg}"}}',
        "a list": json.dumps([members], separators=(",", ":")),
        "a number": json.dumps(members | {"alg": 1}, separators=(",", ":")),
        "deep": "[" * 20_000,
        "a huge number": '{"enc":' + "9" * 5_000 + "}",
        "not a number": '{"enc":NaN,"sig":Infinity,"alg":-Infinity}',
        "alg in capitals": json.dumps(members | {"alg": alg.upper()}, separators=(",", ":")),
        "alg of RSA": json.dumps(members | {"alg": "base64+rsa-sha256"}, separators=(",", ":")),
        "sig without padding": json.dumps(members | {"sig": sig.rstrip("=")}, separators=(",", ":")),
        "sig with spare bits": json.dumps(
            members | {"sig": f"{sig[:-3]}{chr(ord(sig[-3]) + 1)}=="}, separators=(",", ":")
        ),
        "sig too short": json.dumps(members | {"sig": "AAAA"}, separators=(",", ":")),
        "sig empty": json.dumps(members | {"sig": ""}, separators=(",", ":")),
        "enc not of ASCII": json.dumps(members | {"enc": "é"}, separators=(",", ":")),
    }


def armored(document: str) -> str:
    body = b64encode(document.encode()).decode()
    lines = [body[start : start + 60] for start in range(0, len(body), 60)]
    return "\n".join(["-----BEGIN MACHINE FILE-----", *lines, "-----END MACHINE FILE-----", ""])


def test_an_envelope_is_found_in_the_armor_that_these_tests_make() -> None:
    document = json.dumps(envelope(PLAIN), separators=(",", ":"))
    assert KEYLESS.read(armored(document)).sequence == 7


def test_the_order_of_members_is_free() -> None:
    turned = dict(reversed(envelope(PLAIN).items()))
    assert KEYLESS.read(armor(turned, kind="machine")).sequence == 7


@pytest.mark.parametrize("name", respelled(PLAIN))
def test_an_envelope_has_one_spelling(name: str) -> None:
    assert is_seen(armored(respelled(PLAIN)[name]))


REARMORED: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "a word": lambda _: "lease",
    "no lines": lambda _: "-----BEGIN MACHINE FILE-----\n-----END MACHINE FILE-----\n",
    "BEGIN only": lambda text: text.split("\n")[0],
    "one line": lambda text: text.replace("\n", ""),
    "no END": lambda text: text.replace("-----END MACHINE FILE-----", ""),
    "newline before": lambda text: "\n" + text,
    "text before": lambda text: "Dear customer,\n" + text,
    "text after": lambda text: text + "Regards\n",
    "space after": lambda text: text + " ",
    "byte order mark": lambda text: "\ufeff" + text,
    "Windows": lambda text: text.replace("\n", "\r\n"),
    "twice": lambda text: text * 2,
    "lines of 64": lambda text: rewrapped(text, 64),
    "lines of 59": lambda text: rewrapped(text, 59),
    "blank line within": lambda text: text.replace("\n", "\n\n", 2),
    "indented": lambda text: text.replace("\n", "\n "),
    "another kind": lambda text: text.replace("MACHINE", "LICENSE"),
    "another kind at the end": lambda text: text.replace("END MACHINE", "END LICENSE"),
    "small letters": lambda text: text.replace("MACHINE FILE", "machine file"),
    "too long": lambda text: text + "\n" * 64 * 1024,
}


def rewrapped(text: str, width: int) -> str:
    first, *lines, last, _ = text.split("\n")
    body = "".join(lines)
    return "\n".join([first, *(body[start : start + width] for start in range(0, len(body), width)), last, ""])


@pytest.mark.parametrize("change", REARMORED.values(), ids=REARMORED)
def test_an_armor_has_one_spelling(change: Callable[[str], str]) -> None:
    assert is_seen(change(PLAIN))


@pytest.mark.parametrize("ending", ["", "\n\n\n"], ids=["no newline", "several"])
def test_only_newlines_at_the_end_are_free(ending: str) -> None:
    assert KEYLESS.read(PLAIN.rstrip("\n") + ending).sequence == 7


def test_lines_of_windows_are_named() -> None:
    with pytest.raises(LeaseRefusedError, match="CR LF") as refusal:
        KEYLESS.read(PLAIN.replace("\n", "\r\n"))
    assert "without editing" in refusal.value.fix


def test_a_signature_is_worth_nothing_over_another_kind() -> None:
    """The same contents under the other armor, wrapped as that needs: only the signature tells."""
    assert is_seen(armor(envelope(PLAIN), kind="license"))
    document = SIGNER.document()
    document["data"]["type"] = "licenses"
    assert is_seen(SIGNER.seal(document).replace("MACHINE", "LICENSE"))


@given(text=st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_refused_and_nothing_else(text: str) -> None:
    with pytest.raises(LeaseRefusedError) as refusal:
        KEYLESS.read(text)
    assert refusal.value.reason is Reason.EVIDENCE_INVALID


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(document=JSON | st.fixed_dictionaries(dict.fromkeys(("enc", "sig", "alg"), JSON)))
def test_any_envelope_is_refused_and_nothing_else(document: object) -> None:
    assert is_seen(armored(json.dumps(document)))
