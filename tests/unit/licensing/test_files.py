from __future__ import annotations

import asyncio
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tapi_agent.adapters.files import FileEvidence, FileMark, FileRequest, FileRoster, durable, keep_first
from tapi_agent.adapters.files.durable import DurableFile
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.domain.errors import ConfigurationError, IntegrityError, UnavailableError
from tapi_agent.domain.events import LicenseChanged
from tapi_agent.domain.ids import CameraId, DeviceId, TenantId
from tapi_agent.domain.license import Camera, LicenseState, Reason, Subject
from tapi_agent.domain.trusted_time import Mark
from tapi_agent.ports.licenses import OpenRequest, Roll, SealedEvidence

if TYPE_CHECKING:
    from pathlib import Path

T = datetime(2027, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = DeviceKey(bytes(range(32)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    """A disk on which fsync fails until the fixture's value is set, as a full one does."""
    mended = asyncio.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if not mended.is_set():
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    return mended


# --- DurableFile ---


async def test_a_file_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state")
    await file.write(lambda: b"one")
    await file.write(lambda: b"two")
    assert await file.read() == b"two"
    assert mode(tmp_path / "state") == 0o600
    assert names(tmp_path) == ["state"]


async def test_no_file_is_no_content(tmp_path: Path) -> None:
    assert await DurableFile(tmp_path / "state").read() is None


async def test_a_full_disk_keeps_the_old_file_and_heals(tmp_path: Path, full_disk: asyncio.Event) -> None:
    (tmp_path / "state").write_bytes(b"old")
    file = DurableFile(tmp_path / "state")
    with pytest.raises(UnavailableError, match="No space left") as caught:
        await file.write(lambda: b"new")
    assert str(tmp_path) in caught.value.fix
    assert (tmp_path / "state").read_bytes() == b"old"
    assert names(tmp_path) == ["state"]
    full_disk.set()
    await file.write(lambda: b"new")
    assert (tmp_path / "state").read_bytes() == b"new"


async def test_a_folder_in_its_place_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot read"):
        await DurableFile(tmp_path).read()


async def test_writes_at_the_same_time_share_one(tmp_path: Path) -> None:
    file, made = DurableFile(tmp_path / "state"), []

    def content() -> bytes:
        made.append(len(made))
        return str(len(made)).encode()

    await asyncio.gather(*(file.write(content) for _ in range(100)))
    assert len(made) <= 2
    assert await file.read() == str(len(made)).encode()


async def test_the_thread_of_a_cancelled_writer_cannot_undo_a_later_write(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state")
    file._replace(2, b"later")
    file._replace(1, b"left behind")
    assert await file.read() == b"later"


async def test_a_leftover_of_a_crash_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".state.new").write_bytes(b"half")
    (tmp_path / ".state.new").chmod(0o644)
    await DurableFile(tmp_path / "state").write(lambda: b"whole")
    assert (tmp_path / "state").read_bytes() == b"whole"
    assert mode(tmp_path / "state") == 0o600


async def test_a_link_planted_in_the_way_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".state.new").symlink_to(victim)
    await DurableFile(tmp_path / "state").write(lambda: b"whole")
    assert victim.read_bytes() == b"precious"


# --- evidence ---


DAMAGED = pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"{", b"[]", b'{"a": 1}'],
    ids=["no text", "cut", "list", "number"],
)


@DAMAGED
async def test_a_damaged_evidence_file_is_set_aside_and_said_so(tmp_path: Path, evidence, content) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(content)
    tier = FileEvidence(path)
    with pytest.raises(IntegrityError, match="is damaged"):
        await tier.load_all()
    assert (tmp_path / "evidence.json.corrupt").read_bytes() == content
    assert await tier.load_all() == {}
    await tier.save(evidence, "sealed")
    assert await FileEvidence(path).load(evidence.subject) == "sealed"


@pytest.mark.parametrize("key", ["a", "5", "[1, 2]"])
async def test_a_file_with_a_subject_that_is_none_is_damaged(tmp_path: Path, key: str) -> None:
    (tmp_path / "evidence.json").write_text(json.dumps({key: "sealed"}))
    with pytest.raises(IntegrityError, match="is damaged"):
        await FileEvidence(tmp_path / "evidence.json").load_all()


@DAMAGED
async def test_damage_that_is_found_when_saving_is_set_aside_too(tmp_path: Path, evidence, content) -> None:
    (tmp_path / "evidence.json").write_bytes(content)
    tier = FileEvidence(tmp_path / "evidence.json")
    await tier.save(evidence, "sealed")
    assert (tmp_path / "evidence.json.corrupt").read_bytes() == content
    assert await tier.load_all() == {evidence.subject: "sealed"}


async def test_the_thread_of_a_cancelled_saver_cannot_undo_a_later_change(tmp_path: Path) -> None:
    file = DurableFile(tmp_path / "state")
    file._change(2, lambda content: (content or b"") + b"later")
    file._change(1, lambda content: (content or b"") + b"left behind")
    assert await file.read() == b"later"


async def test_changes_at_the_same_time_all_happen(tmp_path: Path, evidence) -> None:
    tier = FileEvidence(tmp_path / "evidence.json")
    words = [replace(evidence, subject=replace(evidence.subject, camera_id=CameraId(str(n)))) for n in range(20)]
    await asyncio.gather(*(tier.save(word, f"sealed {word.subject.camera_id}") for word in words))
    assert await tier.load_all() == {word.subject: f"sealed {word.subject.camera_id}" for word in words}


async def test_a_thousand_cameras_cost_one_write(tmp_path: Path, evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = []
    real = os.fsync
    monkeypatch.setattr(durable.os, "fsync", lambda descriptor: (syncs.append(descriptor), real(descriptor)))
    tier = FileEvidence(tmp_path / "evidence.json")
    words = [
        replace(evidence, subject=replace(evidence.subject, camera_id=CameraId(f"camera {number}")))
        for number in range(1000)
    ]
    await tier.save_many([SealedEvidence(evidence=word, sealed="sealed") for word in words])
    assert len(syncs) == 2, "one of the file and one of its folder"
    assert len(json.loads((tmp_path / "evidence.json").read_bytes())) == 1000


async def test_ids_cannot_run_together(tmp_path: Path, evidence) -> None:
    tier = FileEvidence(tmp_path / "evidence.json")
    one = replace(evidence.subject, tenant_id='a", "b', camera_id="c")
    other = replace(evidence.subject, tenant_id="a", camera_id='b", "c')
    await tier.save(replace(evidence, subject=one), "one")
    await tier.save(replace(evidence, subject=other), "other")
    assert (await tier.load(one), await tier.load(other)) == ("one", "other")


# --- mark ---


async def test_the_mark_comes_back_as_it_was(tmp_path: Path) -> None:
    mark = Mark(
        at=T, boot_id="b", boottime=timedelta(hours=2), raised=timedelta(minutes=3), confirmed_in="a", settled_in="c"
    )
    store = FileMark(tmp_path / "mark", key=KEY)
    assert await store.load() is None
    await store.save(mark)
    assert await FileMark(tmp_path / "mark", key=KEY).load() == mark


@pytest.mark.parametrize("found", ["2027", "2026"], ids=["turned back", "damaged"])
async def test_a_mark_changed_by_hand_is_set_aside(tmp_path: Path, found: str) -> None:
    store = FileMark(tmp_path / "mark", key=KEY)
    await store.save(Mark(at=T))
    text = (tmp_path / "mark").read_text()
    (tmp_path / "mark").write_text(text.replace("2027", "2026") if found == "2027" else text[:-9])
    with pytest.raises(IntegrityError, match="mark of trusted time"):
        await store.load()
    assert names(tmp_path) == ["mark.corrupt"]


async def test_a_mark_of_another_device_is_no_mark(tmp_path: Path) -> None:
    await FileMark(tmp_path / "mark", key=DeviceKey(bytes(32))).save(Mark(at=T))
    with pytest.raises(IntegrityError):
        await FileMark(tmp_path / "mark", key=KEY).load()


# --- the open request ---

REQUEST = OpenRequest(nonce="0f" * 16, made_at=T)


async def test_the_open_request_comes_back_as_it_was_until_it_is_closed(tmp_path: Path) -> None:
    store = FileRequest(tmp_path / "request", key=KEY)
    assert await store.load() is None
    await store.save(REQUEST)
    assert mode(tmp_path / "request") == 0o600
    assert await FileRequest(tmp_path / "request", key=KEY).load() == REQUEST
    await store.clear()
    await store.clear()
    assert (await store.load(), names(tmp_path)) == (None, [])


@pytest.mark.parametrize("content", ["another nonce", "no text", "another device"])
async def test_a_request_changed_by_hand_is_set_aside(tmp_path: Path, content: str) -> None:
    path = tmp_path / "request"
    await FileRequest(path, key=DeviceKey(bytes(32)) if content == "another device" else KEY).save(REQUEST)
    text = path.read_bytes()
    path.write_bytes(
        b"\xff" if content == "no text" else text.replace(b"0f0f", b"0a0a") if "nonce" in content else text
    )
    with pytest.raises(IntegrityError, match="open license request") as caught:
        await FileRequest(path, key=KEY).load()
    assert "license request" in caught.value.fix
    assert names(tmp_path) == ["request.corrupt"]


async def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    (tmp_path / "request").mkdir()
    with pytest.raises(UnavailableError, match="cannot remove"):
        await FileRequest(tmp_path / "request", key=KEY).clear()


# --- roster ---


async def test_the_roster_comes_back_as_it_was(tmp_path: Path) -> None:
    cameras = [
        Camera(camera_id=CameraId("é"), registered_at=T, since=T, state=LicenseState.GRACE),
        Camera(camera_id=CameraId("b"), registered_at=T, since=T),
    ]
    edge = LicenseChanged(
        edge_id=UUID(int=1),
        subject=Subject(device_id=DeviceId("box"), tenant_id=TenantId("acme"), camera_id=CameraId("é")),
        old=LicenseState.VALID,
        new=LicenseState.GRACE,
        reason=Reason.PAST_DUE,
        at=T,
    )
    roll = Roll(cameras=cameras, edges=[edge])
    assert await FileRoster(tmp_path / "roster.json").load() is None
    await FileRoster(tmp_path / "roster.json").save(roll)
    assert await FileRoster(tmp_path / "roster.json").load() == roll


async def test_the_roster_of_an_older_agent_is_read(tmp_path: Path) -> None:
    line = f'[{{"camera_id": "b", "registered_at": "{T}", "state": "valid", "since": "{T}"}}]'
    (tmp_path / "roster.json").write_text(line)
    camera = Camera(camera_id=CameraId("b"), registered_at=T, since=T, state=LicenseState.VALID)
    assert await FileRoster(tmp_path / "roster.json").load() == Roll(cameras=[camera], edges=[])


@pytest.mark.parametrize(
    "content", ["{", "[1]", '[{"camera_id": "a"}]', "3"], ids=["cut", "number", "fields missing", "no list"]
)
async def test_a_damaged_roster_is_set_aside(tmp_path: Path, content) -> None:
    (tmp_path / "roster.json").write_text(content)
    assert await FileRoster(tmp_path / "roster.json").load() is None
    assert names(tmp_path) == ["roster.json.corrupt"]


# --- keep_first ---


def test_what_is_made_once_stays(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    assert keep_first(path, lambda: b"first") == b"first"
    assert keep_first(path, lambda: b"second") == b"first"
    assert mode(path) == 0o600
    assert names(tmp_path) == ["device.key"]


def test_of_two_who_create_it_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "device.key"

    def overtaken() -> bytes:
        path.write_bytes(b"other")
        path.chmod(0o600)
        return b"mine"

    assert keep_first(path, overtaken) == b"other"
    assert names(tmp_path) == ["device.key"]


def test_a_secret_open_to_others_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "device.key"
    path.write_bytes(b"secret")
    path.chmod(0o644)
    assert keep_first(path, bytes) == b"secret"
    assert mode(path) == 0o600


@pytest.mark.parametrize("obstacle", ["folder", "link to nowhere", "no folder"])
def test_what_cannot_be_read_stops_the_agent(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "device.key"
    match obstacle:
        case "folder":
            path.mkdir()
        case "link to nowhere":
            path.symlink_to(tmp_path / "device.key.gone" / "x")
        case _:
            path = tmp_path / "missing" / "device.key"
    with pytest.raises(ConfigurationError, match=r"device\.key") as caught:
        keep_first(path, lambda: b"x")
    assert "backup" in caught.value.fix
