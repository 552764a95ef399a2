"""The sealed file: what is in it outlives the process, what somebody else has put there counts as nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from tests.unit.overrides.conftest import TENANT, YES, T

from tapi_agent.adapters.files import FileOverrides
from tapi_agent.adapters.signing import DeviceKey
from tapi_agent.domain.errors import UnavailableError
from tapi_agent.domain.ids import TenantId
from tapi_agent.domain.override import Override

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.overrides.conftest import Desk

KEY, OTHER_KEY = DeviceKey(bytes(32)), DeviceKey(bytes(range(32)))
SMS = "outputs.sms"
WORDS = [
    Override(feature=SMS, enabled=True, asked_at=T + timedelta(microseconds=1), valid_until=T.replace(year=2030)),
    Override(feature="outputs.api", enabled=False, asked_at=T),
]
PURPOSE = "overrides/1"


def sealed(document: object, purpose: str = PURPOSE) -> bytes:
    return KEY.seal(json.dumps(document), purpose=purpose).encode()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def block(path: Path) -> None:
    """A folder in the file's place can be neither read nor replaced."""
    path.mkdir()


def unblock(path: Path) -> None:
    path.rmdir()


def turn_by_hand(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"enabled":false', b'"enabled":true'))


def corrupt(path: Path) -> list[bytes]:
    """What lies in the folder beside the file's place."""
    assert not path.exists()
    return [other.read_bytes() for other in path.parent.glob("*.corrupt")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "overrides.sealed"


@pytest.fixture
def file(path: Path) -> FileOverrides:
    return FileOverrides(path, key=KEY, tenant_id=TENANT)


async def test_what_is_kept_is_what_is_found(file: FileOverrides, path: Path) -> None:
    assert await file.load() == []
    await file.save(WORDS)
    assert await FileOverrides(path, key=KEY, tenant_id=TENANT).load() == WORDS
    assert mode(path) == 0o600


async def test_the_words_on_another_tenant_say_nothing_and_are_no_damage(file: FileOverrides, path: Path) -> None:
    await file.save(WORDS)
    with capture_logs() as logs:
        assert await FileOverrides(path, key=KEY, tenant_id=TenantId("other")).load() == []
    assert logs == []


async def test_a_word_that_was_turned_by_hand_counts_as_absent(file: FileOverrides, path: Path) -> None:
    await file.save(WORDS)
    turn_by_hand(path)
    with capture_logs() as logs:
        assert await file.load() == []
    assert [(line["event"], line["log_level"]) for line in logs] == [("state_file.corrupt", "error")]
    assert len(corrupt(path)) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no-text"),
        pytest.param(OTHER_KEY.seal('{"tenant_id":"acme","words":[]}', purpose=PURPOSE).encode(), id="another-device"),
        pytest.param(sealed({"tenant_id": TENANT, "words": []}, "mark/1"), id="sealed-for-something-else"),
        pytest.param(sealed([]), id="another-form"),
        pytest.param(sealed({"tenant_id": TENANT}), id="no-words"),
        pytest.param(sealed({"tenant_id": TENANT, "words": [{"feature": SMS}]}), id="a-word-of-another-form"),
        pytest.param(KEY.seal("{", purpose=PURPOSE).encode(), id="no-json"),
    ],
)
async def test_a_file_of_another_form_is_set_aside(file: FileOverrides, path: Path, content: bytes) -> None:
    write(path, content)
    with capture_logs() as logs:
        assert await file.load() == []
    assert [line["event"] for line in logs] == ["state_file.corrupt"]
    assert corrupt(path) == [content]
    await file.save(WORDS)
    assert await file.load() == WORDS


async def test_a_file_that_cannot_be_read_counts_as_absent_and_is_told(
    desk: Desk, file: FileOverrides, path: Path
) -> None:
    block(path)
    with pytest.raises(UnavailableError):
        await file.load()
    desk.store = file
    with capture_logs() as logs:
        overrides = await desk.boot()
    assert overrides.view() == {}
    assert [(line["event"], line["fix"] != "") for line in logs] == [("overrides.not_read", True)]


async def test_what_cannot_be_written_counts_all_the_same_and_is_told(
    desk: Desk, file: FileOverrides, path: Path
) -> None:
    desk.store = file
    desk.billing.answer_feature(SMS, YES)
    overrides = await desk.boot(SMS)
    block(path)
    with capture_logs() as logs:
        await overrides.ask()
    assert overrides.view()[SMS].enabled
    (told,) = [line for line in logs if line["event"] == "overrides.not_kept"]
    assert "free space" in told["fix"]
    unblock(path)
    overrides.wake()
    await overrides.ask()
    assert await file.load() == list(overrides.view().values())
