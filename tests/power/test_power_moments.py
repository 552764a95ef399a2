"""The power fails, or the process is killed, within something short: begun again, it ends as if nothing had been."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from tests.power.conftest import ROOT
from tests.power.medium import Cut

if TYPE_CHECKING:
    from tests.power.conftest import Disk

pytestmark = pytest.mark.slow

OPERATIONS: Final = {"losses": 8, "upgrade": 40, "rescue": 200}
"""At least so many moments are there to fail in."""
FEW: Final = {"losses": 1, "upgrade": 10, "rescue": 40}


def every(stride: dict[str, int], *, name: str, marks: tuple[pytest.MarkDecorator, ...] = ()) -> list[object]:
    return [pytest.param(what, stride[what], id=f"{what}-{name}", marks=marks) for what in OPERATIONS]


@pytest.mark.parametrize("cut", [Cut.FORGET, Cut.ANY, Cut.KEEP])
@pytest.mark.parametrize(
    ("what", "stride"),
    [
        *every(FEW, name="some"),
        *every(dict.fromkeys(FEW, 1), name="all", marks=(pytest.mark.torture, pytest.mark.timeout(3600))),
    ],
)
def test_a_cut_at_any_moment_harms_nothing(disk: Disk, what: str, stride: int, cut: Cut) -> None:
    seed = list(Cut).index(cut)
    command = [sys.executable, "-m", "tests.power.moments", what, cut, str(seed), str(stride), disk.folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong")]
    assert (done.returncode, wrong) == (0, []), done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1]) >= OPERATIONS[what] // stride
