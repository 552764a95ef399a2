"""The settings of the webhook: what can work is read, what never can is refused in words."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest

from tapi_webhook.settings import Settings, read

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({}, None),
        ({"WEBHOOK_URLS": " , "}, None),
        (
            {"WEBHOOK_URLS": "https://a.example/x", "WEBHOOK_SECRET": SECRET, "WEBHOOK_DIR": "/d"},
            Settings(urls=("https://a.example/x",), key=KEY, folder=Path("/d"), keep=timedelta(days=7)),
        ),
        (
            {"WEBHOOK_URLS": "http://a/,http://b/, http://a/", "WEBHOOK_SECRET": SECRET[6:], "TAPI_STATE_DIR": "/s"}
            | {"WEBHOOK_KEEP_DAYS": "30"},
            Settings(urls=("http://a/", "http://b/"), key=KEY, folder=Path("/s/webhook"), keep=timedelta(days=30)),
        ),
        (
            {"WEBHOOK_URLS": "http://a/", "WEBHOOK_SECRET": SECRET, "STATE_DIRECTORY": "/var/lib/tapi-agent:/x"},
            Settings(urls=("http://a/",), key=KEY, folder=Path("/var/lib/tapi-agent/webhook"), keep=timedelta(days=7)),
        ),
    ],
    ids=["nothing", "blanks", "one", "state directory", "of systemd"],
)
def test_settings(environ: dict[str, str], settings: Settings | None) -> None:
    assert read(environ) == settings


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"WEBHOOK_URLS": "file:///etc/passwd"}, "http"),
        ({"WEBHOOK_URLS": "https://a.example,gopher://b"}, "http"),
        ({"WEBHOOK_URLS": "https://user:s3cret@a.example"}, "without user"),
        ({"WEBHOOK_URLS": "https://[::1"}, "http"),
        ({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": "s3cret"}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": "whsec_s3cretä"}, "WEBHOOK_SECRET"),
        ({"WEBHOOK_SECRET": "whsec_" + base64.b64encode(b"s3cret").decode()}, "24 to 64 bytes"),
        ({"WEBHOOK_DIR": ""}, "WEBHOOK_DIR must be set"),
        ({"WEBHOOK_DIR": "here"}, "absolute"),
        ({"WEBHOOK_KEEP_DAYS": "0"}, "WEBHOOK_KEEP_DAYS"),
        ({"WEBHOOK_KEEP_DAYS": "a week"}, "WEBHOOK_KEEP_DAYS"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_wrong_settings_are_refused_in_words_without_the_secret(changed: dict[str, str], complaint: str) -> None:
    good = {"WEBHOOK_URLS": "https://a.example/", "WEBHOOK_SECRET": SECRET, "WEBHOOK_DIR": "/d"}
    with pytest.raises(ValueError, match=complaint) as refused:
        read(good | changed)
    assert "s3cret" not in str(refused.value)
