"""The storage meter on real folders: what it counts, what it leaves out, and how it says that it cannot read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING

import pytest

import tapi_storage_meter
from tapi_agent.domain.quantity import read_quantity
from tapi_agent.plugin import base_catalog
from tapi_storage_meter.gauge import Gauge
from tapi_storage_meter.settings import folders
from tapi_storage_meter.walk import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from tapi_agent.testing.shop import Shop

HOUR = timedelta(hours=1)
SINCE = datetime(2027, 3, 31, 23, tzinfo=UTC)
MIB = 1024**2
CHILD = """
import os, sys
from tapi_storage_meter.gauge import Gauge
from time import monotonic
os.setgroups([]); os.setgid(65534); os.setuid(65534)
gauge = Gauge(sys.argv[1])
gauge.start(); gauge.await_first(until=monotonic() + 30)
print(gauge.size.allocated if gauge.size else None, gauge.health(), sep="|")
"""


def written(path: Path, size: int = MIB) -> int:
    """Bytes that a real file takes on its disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(os.urandom(size))
        os.fsync(file.fileno())
    return path.stat().st_blocks * 512


@pytest.fixture
def metering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """The plugin as it is after an import under the given setting."""

    def configured(*paths: Path) -> ModuleType:
        named = folders({"STORAGE_METER_PATHS": ":".join(map(str, paths))})
        monkeypatch.setattr(tapi_storage_meter, "_gauges", tuple(map(Gauge, named)))
        return tapi_storage_meter

    return configured


@pytest.mark.parametrize(
    ("size", "window", "quantity"),
    [
        (10**9, timedelta(days=1), "1"),
        (10**9, HOUR, "0.041666667"),
        (1, timedelta(days=1), "0.000000001"),
        (0, HOUR, "0"),
        (12_345_678_901_234_567, HOUR, "514403.287551440"),
        (36, HOUR, "0.000000002"),
    ],
    ids=["a gigabyte-day", "an hour of it", "a byte-day", "nothing", "12 petabytes", "half a nano to even"],
)
def test_gigabyte_days_are_exact(size: int, window: timedelta, quantity: str) -> None:
    counted = tapi_storage_meter.gb_days(size, window)
    assert counted == Decimal(quantity)
    assert read_quantity(counted) == counted, "the agent would refuse it"


def test_the_meter_is_the_agents_own_with_an_hour_to_it() -> None:
    known = next(meter for meter in base_catalog.METERS if meter.key == "storage_gb_days")
    (meter,) = tapi_storage_meter.register_meters()
    assert (meter.key, meter.unit, meter.switch, meter.description) == (
        known.key,
        known.unit,
        known.switch,
        known.description,
    )
    assert meter.every == HOUR


def test_regular_files_are_counted_by_their_blocks_in_every_depth(tmp_path: Path) -> None:
    sizes = [written(tmp_path / "one"), written(tmp_path / "deep" / "er" / "two", 5000)]
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(1024 * MIB)
    assert measure(str(tmp_path)).allocated == sum(sizes) + sparse.stat().st_blocks * 512 < 100 * MIB


def test_a_file_with_two_names_is_counted_once(tmp_path: Path) -> None:
    size = written(tmp_path / "video")
    (tmp_path / "again").hardlink_to(tmp_path / "video")
    assert measure(str(tmp_path)).allocated == size


def test_links_are_not_followed_save_the_configured_folder_itself(tmp_path: Path) -> None:
    inside, outside = written(tmp_path / "videos" / "one", 4096), tmp_path / "outside"
    written(outside / "two")
    (tmp_path / "videos" / "link").symlink_to(outside / "two")
    (tmp_path / "videos" / "folder").symlink_to(outside)
    (tmp_path / "videos" / "loop").symlink_to(tmp_path / "videos")
    (tmp_path / "alias").symlink_to(tmp_path / "videos")
    assert measure(str(tmp_path / "videos")).allocated == measure(str(tmp_path / "alias")).allocated == inside


def test_a_mount_inside_is_left_out(tmp_path: Path) -> None:
    """In a mount namespace of its own; skipped where that is not allowed."""
    size = written(tmp_path / "own")
    (tmp_path / "mounted").mkdir()
    script = (
        f"mount -t tmpfs none {tmp_path}/mounted && "
        f"dd if=/dev/zero of={tmp_path}/mounted/f bs=1M count=3 2>/dev/null && "
        f"{sys.executable} -c 'from tapi_storage_meter.walk import measure; print(measure(\"{tmp_path}\").allocated)'"
    )
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert (done.returncode, done.stdout.strip()) == (0, str(size)), done.stderr


def test_what_vanishes_meanwhile_takes_no_place_and_is_no_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing of a folder and the look at what is in it, somebody else is at work."""
    stays, look = written(tmp_path / "stays"), os.scandir
    written(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "turned").mkdir()

    @contextmanager
    def lose(folder: str) -> Iterator[list[os.DirEntry[str]]]:
        with look(folder) as entries:
            listed = list(entries)
        (tmp_path / "file").unlink(missing_ok=True)
        yield listed
        if folder == str(tmp_path):
            (tmp_path / "folder").rmdir()
            (tmp_path / "turned").rmdir()
            (tmp_path / "turned").touch()

    monkeypatch.setattr(os, "scandir", lose)
    size = measure(str(tmp_path))
    assert (size.allocated, size.unread) == (stays, "")


def test_samples_of_an_hour_stand_at_its_beginning(tmp_path: Path, metering: Callable[..., ModuleType]) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    sizes = {str(one): written(one / "a", 40 * MIB), str(two): written(two / "b", 4096)}
    plugin = metering(one, two)
    samples = list(plugin.collect_usage(SINCE, SINCE + HOUR))
    assert {sample.resource_id: sample.quantity for sample in samples} == {
        folder: plugin.gb_days(size, HOUR) for folder, size in sizes.items()
    }
    assert {sample.at for sample in samples} == {SINCE}, "the last hour of a month belongs to that month"
    assert all(health.healthy for health in plugin.health_checks())


async def test_the_agent_takes_its_samples(tmp_path: Path, metering: Callable[..., ModuleType], shop: Shop) -> None:
    size = written(tmp_path / "video")
    plugin = metering(tmp_path)
    assert (shop.report.distribution, shop.report.error) == ("tapi-agent-storage-meter", None)
    assert (shop.report.meters, shop.declarations.meter_sources["storage_gb_days"]) == (
        ("storage_gb_days",),
        "base-catalog",
    )
    (samples,) = await shop._host.ask("collect_usage", meter=plugin.METER, since=SINCE, until=SINCE + HOUR)
    assert [(sample.resource_id, sample.quantity) for sample in samples] == [
        (str(tmp_path), plugin.gb_days(size, HOUR))
    ]


def test_a_job_keeps_the_sizes_young(tmp_path: Path, metering: Callable[..., ModuleType]) -> None:
    plugin = metering(tmp_path)
    (job,) = plugin.register_jobs()
    job.run()
    (gauge,) = plugin._gauges
    gauge._walk.join(30)
    size = written(tmp_path / "new")
    assert gauge.size.allocated == 0
    job.run()
    gauge._walk.join(30)
    assert gauge.size.allocated == size


def test_without_folders_it_is_off(metering: Callable[..., ModuleType]) -> None:
    plugin = metering()
    assert (plugin.register_jobs(), plugin.health_checks()) == ([], [])
    assert list(plugin.collect_usage(SINCE, SINCE + HOUR)) == []
    (check,) = plugin.doctor_checks()
    assert check.healthy
    assert "STORAGE_METER_PATHS" in check.detail


def test_a_missing_folder_is_unhealthy_and_the_others_are_sampled(
    tmp_path: Path, metering: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    written(there / "video")
    plugin = metering(there, missing)
    for _ in range(2):
        (sample,) = plugin.collect_usage(SINCE, SINCE + HOUR)
        assert sample.resource_id == str(there)
    well, ill = plugin.health_checks()
    assert (well.healthy, ill.healthy) == (True, False)
    assert str(missing) in ill.detail
    assert "STORAGE_METER_PATHS" in ill.fix
    assert len(caplog.records) == 1, "an edge is logged, not a level"
    written(missing / "video")
    assert len(list(plugin.collect_usage(SINCE, SINCE + HOUR))) == 2
    assert all(health.healthy for health in plugin.health_checks())


def test_a_folder_that_vanishes_is_metered_no_more(tmp_path: Path, metering: Callable[..., ModuleType]) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    plugin = metering(folder)
    assert len(list(plugin.collect_usage(SINCE, SINCE + HOUR))) == 1
    folder.rmdir()
    (gauge,) = plugin._gauges
    gauge.start()
    gauge._walk.join(30)
    assert list(plugin.collect_usage(SINCE, SINCE + HOUR)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who may not read")
@pytest.mark.parametrize(("forbidden", "counted"), [("", False), ("inner", True)], ids=["the folder", "one inside"])
def test_what_may_not_be_read_is_named(tmp_path_factory, forbidden: str, counted: bool) -> None:  # noqa: FBT001 - table
    folder = tmp_path_factory.mktemp("videos")
    size = written(folder / "video")
    written(folder / "inner" / "hidden")
    for parent in [folder, *folder.parents][:4]:
        parent.chmod(0o755)
    (folder / forbidden).chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
    )
    found, health = done.stdout.split("|")
    assert found == (str(size) if counted else "None")
    assert "healthy=False" in health
    assert str(folder / forbidden) in health
    assert "setfacl" in health


def test_a_walk_that_hangs_holds_nobody_up_and_ends_the_metering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network share that answers late."""
    answer, look = threading.Event(), os.scandir

    def late(folder: str) -> Iterator[os.DirEntry[str]]:
        answer.wait(60)
        return look(folder)

    gauge = Gauge(str(tmp_path))
    gauge.start()
    gauge.await_first(until=monotonic() + 30)
    monkeypatch.setattr(os, "scandir", late)
    gauge.start()
    walk = gauge._walk
    gauge.start()
    assert gauge._walk is walk, "one walk at a time"
    assert gauge.size is not None
    gauge._since -= 7 * 3600
    assert gauge.size is None
    assert not gauge.health().healthy
    answer.set()
    walk.join(30)
    assert gauge.health().healthy
    assert gauge.size is not None
