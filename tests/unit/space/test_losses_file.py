"""The loss ledger's file: sums that survive cut writes, flipped bytes and a full house of meters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapi_agent.adapters.files import FileLosses
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.loss import Loss, LossKind

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2027, 3, 1, tzinfo=UTC)
SLOT = 32 * 1024


def loss(meter: str = "api_call", events: int = 1, *, hours: int = 0, kind: LossKind = LossKind.REFUSED) -> Loss:
    at = AT + timedelta(hours=hours)
    return Loss(kind=kind, meter=meter, events=events, quantity=events * Decimal("0.1"), first_at=at, last_at=at)


def test_sums_by_kind_and_meter_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "spool" / "losses"
    FileLosses(file).note([loss(events=2), loss("sms_sent"), loss(kind=LossKind.DAMAGED)])
    FileLosses(file).note([loss(events=3, hours=5)])
    assert FileLosses(file).report() == [
        loss(kind=LossKind.DAMAGED),
        Loss(
            kind=LossKind.REFUSED,
            meter="api_call",
            events=5,
            quantity=Decimal("0.5"),
            first_at=AT,
            last_at=AT + timedelta(hours=5),
        ),
        loss("sms_sent"),
    ]
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_never_grows(tmp_path: Path) -> None:
    losses = FileLosses(tmp_path / "losses")
    losses.note([loss()])
    size = (tmp_path / "losses").stat().st_size
    for number in range(50):
        losses.note([loss(f"meter-{number}")])
    assert (tmp_path / "losses").stat().st_size == size == 2 * SLOT


@pytest.mark.parametrize("at", [0, 4, 12, 16, 20, 60])
def test_a_write_that_was_cut_short_leaves_the_one_before(tmp_path: Path, at: int) -> None:
    file = tmp_path / "losses"
    losses = FileLosses(file)
    losses.note([loss(events=1)])
    losses.note([loss(events=2)])
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    assert [one.events for one in FileLosses(file).report()] == [1]


def test_a_file_of_which_nothing_can_be_read_is_kept_as_evidence(tmp_path: Path) -> None:
    file = tmp_path / "losses"
    file.write_bytes(b"rubbish" * 1000)
    losses = FileLosses(file)
    assert losses.report() == []
    losses.note([loss()])
    assert [one.events for one in FileLosses(file).report()] == [1]
    assert (tmp_path / "losses.damaged").read_bytes() == b"rubbish" * 1000


def test_too_many_meters_are_counted_without_their_names(tmp_path: Path) -> None:
    losses = FileLosses(tmp_path / "losses")
    losses.note([loss(f"a-meter-with-a-long-name-{number:04}") for number in range(1000)])
    report = FileLosses(tmp_path / "losses").report()
    assert sum(one.events for one in report) == 1000
    assert "" in {one.meter for one in report}
    assert len(report) > 100


def test_an_exact_sum_beyond_the_usual_precision(tmp_path: Path) -> None:
    losses = FileLosses(tmp_path / "losses")
    for quantity in ("99999999999999999999999", "0.000000001"):
        losses.note(
            [Loss(kind=LossKind.REFUSED, meter="m", events=1, quantity=Decimal(quantity), first_at=AT, last_at=AT)]
        )
    (one,) = losses.report()
    assert str(one.quantity) == "99999999999999999999999.000000001"


def test_without_a_place_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    with pytest.raises(UnavailableError, match="loss ledger"):
        FileLosses(tmp_path / "spool" / "losses").note([loss()])
    assert os.listdir(tmp_path) == ["spool"]  # noqa: PTH208 - names are enough


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The file before and after the last write."""
    file = tmp_path_factory.mktemp("losses") / "losses"
    losses = FileLosses(file)
    losses.note([loss(events=1)])
    losses.note([loss(events=2), loss("sms_sent")])
    before = file.read_bytes()
    losses.note([loss(events=4)])
    return before, file.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.one_of(st.integers(0, 600), st.integers(SLOT, SLOT + 600), st.integers(0, 2 * SLOT)))
def test_a_write_torn_anywhere_leaves_the_sums_before_or_after_it(
    written: tuple[bytes, bytes], tmp_path: Path, at: int
) -> None:
    before, after = written
    file = tmp_path / "losses"
    file.write_bytes(after[:at] + before[at:])
    assert [one.events for one in FileLosses(file).report()] in ([3, 1], [7, 1])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.one_of(st.integers(0, 600), st.integers(SLOT, SLOT + 600)), flip=st.integers(1, 255))
def test_a_flipped_byte_is_never_taken_for_a_sum(
    written: tuple[bytes, bytes], tmp_path: Path, at: int, flip: int
) -> None:
    file = tmp_path / "losses"
    content = bytearray(written[1])
    content[at] ^= flip
    file.write_bytes(content)
    assert [one.events for one in FileLosses(file).report()] in ([3, 1], [7, 1])


WRITER = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tapi_agent.adapters.files import FileLosses
from tapi_agent.domain.loss import Loss, LossKind
at = datetime(2027, 3, 1, tzinfo=UTC)
losses = FileLosses(Path(sys.argv[1]))
while True:
    losses.note([Loss(kind=LossKind.REFUSED, meter="m", events=1, quantity=Decimal(1), first_at=at, last_at=at)])
"""


@pytest.mark.parametrize("place", ["loss.written", "loss.synced"])
def test_a_kill_at_the_third_write_leaves_a_whole_sum(tmp_path: Path, place: str) -> None:
    file = tmp_path / "losses"
    killed = subprocess.run(
        [sys.executable, "-c", WRITER, str(file)],
        env={**os.environ, "TAPI_FAILPOINTS": f"{place}:3=kill"},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL
    losses = FileLosses(file)
    assert [one.events for one in losses.report()] == [3]
    losses.note([loss("m")])
    assert [one.events for one in FileLosses(file).report()] == [4]
