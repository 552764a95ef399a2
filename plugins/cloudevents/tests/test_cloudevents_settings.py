"""The settings of the CloudEvents sink: what can work is read, what never can is refused in words."""

from __future__ import annotations

import pytest

from tapi_cloudevents.settings import Settings, read

TOKEN = "om_s3cret-t0ken"


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({}, None),
        ({"CLOUDEVENTS_URL": "  ", "CLOUDEVENTS_TOKEN": "x"}, None),
        ({"CLOUDEVENTS_URL": "https://a.example/x?y=z"}, Settings(url="https://a.example/x?y=z")),
        (
            {"CLOUDEVENTS_URL": "https://a.example", "CLOUDEVENTS_TOKEN": "t", "CLOUDEVENTS_TYPE_PREFIX": "p."},
            Settings(url="https://a.example", token="t", prefix="p."),
        ),
        ({"CLOUDEVENTS_URL": "http://a.example"}, Settings(url="http://a.example")),
        (
            {"CLOUDEVENTS_URL": "http://localhost:8888/", "CLOUDEVENTS_TOKEN": "t"},
            Settings(url="http://localhost:8888/", token="t"),
        ),
        (
            {"CLOUDEVENTS_URL": "http://[::1]:8888/", "CLOUDEVENTS_TOKEN": "t"},
            Settings(url="http://[::1]:8888/", token="t"),
        ),
    ],
    ids=["nothing", "no address", "address", "all", "in the clear", "token to this box", "and by its number"],
)
def test_settings(environ: dict[str, str], settings: Settings | None) -> None:
    assert read(environ) == settings


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"CLOUDEVENTS_URL": "ftp://a.example/x"}, "http"),
        ({"CLOUDEVENTS_URL": "a.example/x"}, "http"),
        ({"CLOUDEVENTS_URL": "https://"}, "http"),
        ({"CLOUDEVENTS_URL": "https://[::1"}, "http"),
        ({"CLOUDEVENTS_URL": f"https://user:{TOKEN}@a.example"}, "without user"),
        ({"CLOUDEVENTS_URL": "https://a.example/#x"}, "fragment"),
        ({"CLOUDEVENTS_URL": "http://a.example", "CLOUDEVENTS_TOKEN": TOKEN}, "in the clear"),
        ({"CLOUDEVENTS_URL": "https://a.example", "CLOUDEVENTS_TOKEN": f"{TOKEN}\r\nX: y"}, "ASCII"),
        ({"CLOUDEVENTS_URL": "https://a.example", "CLOUDEVENTS_TYPE_PREFIX": "a\0"}, "printable"),
    ],
    ids=["ftp", "no scheme", "no host", "no URL", "password", "fragment", "token in the clear", "token", "prefix"],
)
def test_wrong_settings_are_refused_in_words_without_the_secret(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        read(environ)
    assert TOKEN not in str(refused.value)
