"""A text that holds several leases is taken apart whole, or refused with the number of the part that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.leases.conftest import Authority, reader

from tapi_agent.domain.lease import LeaseRefusedError
from tapi_agent.domain.license import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNER = Authority()
BOX = reader(SIGNER)
LEASES = [SIGNER.mint(camera_id=f"cam-{number}") for number in range(3)]
NOT_A_LEASE = "it does not begin and end as a lease file does"


@given(count=st.integers(1, 3), gaps=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_blank_lines_may_stand_around(count: int, gaps: list[int]) -> None:
    text = "\n" * gaps[3] + "".join(lease + "\n" * gap for lease, gap in zip(LEASES[:count], gaps, strict=False))
    assert BOX.split(text) == LEASES[:count]


def test_what_comes_out_can_be_read() -> None:
    assert [BOX.read(part).camera_id for part in BOX.split("".join(LEASES))] == ["cam-0", "cam-1", "cam-2"]


def test_the_last_newline_may_be_missing() -> None:
    assert BOX.split("".join(LEASES).rstrip("\n")) == LEASES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: "", "there is no lease in it"),
        (lambda _: "\n\n", "there is no lease in it"),
        (lambda _: "lease", f"lease 1 of 1: {NOT_A_LEASE}"),
        (lambda text: "Dear customer,\n" + text, f"lease 1 of 3: {NOT_A_LEASE}"),
        (lambda text: text + "Regards", f"lease 4 of 4: {NOT_A_LEASE}"),
        (lambda text: text[:-40], f"lease 3 of 3: {NOT_A_LEASE}"),
        (lambda text: text.replace(LEASES[1][:29], "", 1)[1:], "lease 1 of 3: "),
        (lambda text: text.replace(LEASES[1], LEASES[1].replace("\n", "\n\n", 1)), "lease 2 of 4: "),
        (lambda text: text.replace(LEASES[1], LEASES[1].replace("\n", " \n", 2)), "lease 2 of 3: "),
        (
            lambda text: text.replace(LEASES[2], LEASES[2].replace("MACHINE", "LICENSE", 1)),
            f"lease 3 of 3: {NOT_A_LEASE}",
        ),
        (lambda text: text.replace("\n", "\r\n"), "CR LF"),
    ],
    ids=["empty", "blank", "word", "before", "after", "cut", "no BEGIN", "gap", "spaces", "mixed", "Windows"],
)
def test_one_wrong_part_spoils_all_and_is_named(change: Callable[[str], str], message: str) -> None:
    with pytest.raises(LeaseRefusedError) as refusal:
        BOX.split(change("".join(LEASES)))
    assert message in str(refusal.value)
    assert refusal.value.reason is Reason.EVIDENCE_INVALID
    assert refusal.value.fix


@given(text=st.text() | st.text(alphabet="-BEGIN MACHINE FILE\n"))
def test_any_text_is_refused_and_nothing_else(text: str) -> None:
    with pytest.raises(LeaseRefusedError):
        BOX.split(text)
