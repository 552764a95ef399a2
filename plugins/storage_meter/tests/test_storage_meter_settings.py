"""The setting of the storage meter: which folders it names, and which it may not."""

from __future__ import annotations

import pytest

from tapi_storage_meter.settings import folders


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", ()),
        (" : :", ()),
        ("/a:/b", ("/a", "/b")),
        ("/a:/a", ("/a",)),
        ("/data/videos:/data/videos-old", ("/data/videos", "/data/videos-old")),
    ],
    ids=["nothing", "blanks", "two", "twice", "a common beginning"],
)
def test_settings(text: str, named: tuple[str, ...]) -> None:
    assert folders({"STORAGE_METER_PATHS": text}) == named


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("videos", "absolute"),
        ("/data/../etc", "absolute"),
        ("/data:/data/videos", "billed twice"),
        ("/data/videos:/data", "billed twice"),
        ("/" + "x" * 256, "256"),
        ("/da\nta", "printable"),
        ("/da\udcffta", "printable"),
    ],
    ids=["relative", "dots", "inside", "around", "long", "a line break", "no UTF-8"],
)
def test_wrong_settings_are_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        folders({"STORAGE_METER_PATHS": text})
