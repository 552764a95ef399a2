"""A thousand cameras must fit: what the license state of each costs in memory, as the benchmark measures it."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "licensing_memory.py"
BOUND = 2048


def benchmark() -> ModuleType:
    spec = spec_from_file_location("licensing_memory", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True], ids=["classic", "signed"])
async def test_the_license_state_of_a_camera_fits_in_two_kib(signed) -> None:
    """Bytes are counted, not time: the same on every machine. 1.5 KiB when this was written."""
    with capture_logs():  # what pytest captures of the log would count as well
        held = await benchmark().bytes_per_camera(signed=signed)
    assert held <= BOUND
