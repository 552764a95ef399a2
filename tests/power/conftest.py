"""A disk whose power can be cut."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.power.medium import Cut

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
_PATIENCE: Final = 60


class Disk:
    """A disk with one folder, ``place``, which is there while it has power."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "disk"
        self.place.mkdir()
        self._image = folder / "image"
        self._life: subprocess.Popen[bytes] | None = None

    def plug(self, *, fails_at: int | None = None, cut: Cut = Cut.FORGET, seed: int = 0) -> None:
        """Give it power, until operation number ``fails_at``."""
        from tests.power.cutfs import READY, Order  # noqa: PLC0415 - it needs libfuse

        order = Order(image=str(self._image), mount=str(self.place), fails_at=fails_at, cut=cut, seed=seed)
        command = [sys.executable, "-m", "tests.power.cutfs", order.text()]
        self._life = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._life.stdout is not None
        assert self._life.stdout.readline() == READY, "it could not be mounted"

    def has_failed(self) -> bool:
        """Whether the power failed."""
        assert self._life is not None
        return self._life.poll() is not None

    def unplug(self) -> None:
        """Take it away, whether the power failed or not; without a failure everything is kept."""
        if self._life is None:
            return
        subprocess.run(["fusermount3", "-u", "-z", "-q", self.place], check=True)
        with self._life as life:
            assert life.wait(_PATIENCE) == 0
        self._life = None


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Not plugged in."""
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        pytest.skip("no FUSE here (/dev/fuse and fusermount3)")
    with tempfile.TemporaryDirectory(prefix="ta-power-", dir="/tmp") as folder:
        disk = Disk(Path(folder))
        yield disk
        disk.unplug()
